"""How the help of a command is laid out: plain text, with the command's examples last."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

from .options.flags import ONLY_IN_HELP_ALL

if TYPE_CHECKING:
    from cyclopts.help import HelpEntry, HelpPanel
    from rich.console import Console, ConsoleOptions

NARROWEST = 40  # below it, no text fits beside an option
WIDEST = 100
WORDS = {"INT": "N", "FLOAT": "X", "STR": "TEXT", "STR...": "TEXT", "FLOAT...": "X", None: ""}
"""cyclopts' words for types -> ours for values."""
_INDENT = 28  # of the texts beside options


class Layout:
    """A formatter of cyclopts: each group is a list of options with their texts beside them.

    Args:
        is_whole: Whether groups are shown that many commands share.
        usage: The first line.
    """

    def __init__(self, is_whole: bool, usage: str = "") -> None:
        self._usage = usage
        self.is_whole = is_whole
        self.hidden_flags = list[str]()
        """The options in groups that were not shown."""

    def __call__(self, console: Console, options: ConsoleOptions, panel: HelpPanel) -> None:
        if panel.title in ONLY_IN_HELP_ALL and not self.is_whole:
            self.hidden_flags += [name for entry in panel.entries for name in entry.positive_names[:1]]
            return
        if not panel.entries:
            return
        lines = [f"{panel.title}:"]
        for entry in panel.entries:
            lines += _entry_lines(entry, _width(console))
        _print(console, "\n".join([*lines, ""]))

    def render_usage(self, console: Console, options: ConsoleOptions, usage: Any) -> None:
        _print(console, f"{self._usage}\n")

    def render_description(self, console: Console, options: ConsoleOptions, description: Any) -> None:
        paragraphs = [textwrap.fill(paragraph, _width(console)) for paragraph in _plain(description).split("\n\n")]
        _print(console, "\n\n".join(paragraphs) + "\n")


def _width(console: Console) -> int:
    return min(max(console.width, NARROWEST), WIDEST)


def _entry_lines(entry: HelpEntry, width: int) -> list[str]:
    label = _label(entry)
    text = " ".join(_plain(entry.description).split())
    if entry.default not in (None, "False", "()", '""'):
        text += f" (default: {'yes' if entry.default == 'True' else entry.default})"
    lines = textwrap.wrap(text, width - _INDENT) or [""]
    beside = f"  {label}".ljust(_INDENT - 1) + f" {lines[0]}"
    if len(label) > _INDENT - 4:
        return [f"  {label}", *(" " * _INDENT + line for line in lines if line)]
    return [beside.rstrip(), *(" " * _INDENT + line for line in lines[1:])]


def _plain(text: Any) -> str:
    """Return what cyclopts made of a docstring as text; it is rich's ``Text``, as the help is in no markup."""
    return text.primary_renderable.plain.strip() if text is not None else ""


def _label(entry: HelpEntry) -> str:
    """Return an option's names and a word for its value, as in ``-m, --metrics METRIC``."""
    value = "{" + ",".join(entry.choices) + "}" if entry.choices else WORDS.get(entry.metavar, entry.metavar) or ""
    if entry.positional_label:
        return value
    names = [*entry.positive_shorts, *entry.positive_names, *entry.negative_names, *entry.negative_shorts]
    return f"{', '.join(names)} {value}".rstrip()


def _print(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)
