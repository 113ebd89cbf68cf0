"""The command line of every command: its groups of commands, its help, and completion of words in shells."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Sequence
from typing import Annotated, Literal

from cyclopts import App, Group, Parameter

from ...version import __version__
from .command_line import CommandLine
from .layout import Layout
from .options.flags import OPTIONS, flag_name

COMMANDS = {
    "Score and look": {
        "demo": "score bundled photos and degraded versions of them, without any download",
        "score": "score photos: files, folders, globs or a list on standard input",
        "map": "draw maps of where photos look good and where they do not",
        "rank": "find the best and the worst photos, list their paths, or look at them",
        "prompts": "list the named prompt pairs",
    },
    "Compare": {
        "compare": "compare metrics on data sets, with correlations, intervals and published values",
        "table": "compare several methods in one table: means, best and second best, paired differences",
        "protocols": "list how papers compute their tables, with the source of each protocol",
        "gate": "check whether a second run over the same inputs got worse, for continuous integration",
    },
    "Learn": {
        "train": "learn the prompts of CLIP-IQA+ from scores that people gave",
        "fit": "fit a metric to a few rated photos of your own, in seconds",
    },
    "The paper": {
        "radar": "draw the look and feel of images on radar charts",
        "sweep": "test whether scores follow brightness, noise, colour, sharpness and contrast, changed in steps",
        "pairs": "test whether the better of two versions of an image scores higher",
        "agreement": "test whether the metric chooses between two images as people do",
    },
    "Weights and export": {
        "weights": "show the source of every checkpoint, or download checkpoints",
        "verify": "check whether your weights give the published scores",
        "export": "write a metric as an ONNX file, for programs without PyTorch",
    },
}
"""Title of a group of commands -> command -> what it does."""
USAGE = {
    "demo": "[options]",
    "score": "PATH… [options]",
    "map": "PHOTO… --out DIR [options]",
    "rank": "PATH… [options]",
    "prompts": "[PROMPT…] [options]",
    "compare": "-m METRIC… -d DATA… [options]",
    "table": "--methods NAME=FOLDER… -m METRIC… [options]",
    "protocols": "[NAME]",
    "gate": "BASE NEW [options]",
    "train": "CSV|NAME --out DIR [options]",
    "fit": "CSV|NAME --out FILE [options]",
    "radar": "IMAGE… [options]",
    "sweep": "IMAGE… [options]",
    "pairs": "LOW HIGH [options]",
    "agreement": "VOTES… [options]",
    "weights": "[options]",
    "verify": "[options]",
    "export": "FILE [options]",
}
"""Command -> what stands behind it on a command line."""
NAMES = tuple(name for commands in COMMANDS.values() for name in commands)
HELP = ("--help", "-h")
WHOLE_HELP = "--help-all"
_EXIT_CODES = "0 all done, 1 something failed that the messages name, 2 bad input."
_SHELLS = Literal["bash", "zsh", "fish"]


_FORM = Parameter(  # of every option
    name_transform=flag_name,
    negative_bool="",
    negative_iterable="",
    consume_multiple=1,
    json_list=False,
    json_dict=False,
)


def command_app(words: Sequence[str], command_line: CommandLine, layout: Layout) -> App:
    """Return the application for a command line; a command's module is imported when it is called, or helped with."""
    app = App(
        name="clipiqa",
        help="CLIP-IQA measures the look and feel of photos in numbers.",
        help_flags=(*HELP, WHOLE_HELP),
        help_format="plaintext",
        help_formatter=layout,
        version=f"clipiqa-pyiqa {__version__}",
        version_format="plaintext",
        default_parameter=_FORM,
        group_arguments=Group("Arguments", sort_key=1),
        group_parameters=OPTIONS,
        config=command_line,
        exit_on_error=False,
        print_error=False,
        suppress_keyboard_interrupt=False,
        result_action="return_value",
    )

    @app.default
    def start(*, print_completion: Annotated[_SHELLS | None, Parameter(show_choices=True)] = None) -> int:
        """Do what is asked without a command.

        Args:
            print_completion: print a completion script for a shell, and exit
        """
        if print_completion is None:
            app.help_print([])
            return 2
        print(app.generate_completion(shell=print_completion))
        return 0

    _add_commands(app, words)
    for flag in (*app.help_flags, *app.version_flags):
        app[flag].group = OPTIONS
    for flag in app.help_flags:
        app[flag].help = f"show help; {WHOLE_HELP} after a command shows all of its options"
    for flag in app.version_flags:
        app[flag].help = "print the version"
    return app


def _add_commands(app: App, words: Sequence[str]) -> None:
    """Add every command with its sentence; the one that help is asked for, with its own description."""
    is_help = any(flag in words for flag in app.help_flags)
    for number, (title, commands) in enumerate(COMMANDS.items()):
        group = Group(title, sort_key=10 + number)
        for name, deed in commands.items():
            is_described = is_help and name == words[0]
            sentence = f"{deed[:1].upper()}{deed[1:]}."
            about = description_of(name, WHOLE_HELP in words) if is_described else sentence
            app.command(f"{__package__}.{name}:run", name=name, group=group, help=about or sentence)


def usage_of(command: str) -> str:
    """Return a line that says how a command is called."""
    return f"Usage: clipiqa {command} {USAGE[command]}" if command else "Usage: clipiqa COMMAND [options]"


def function_of(command: str) -> Callable[..., int]:
    return importlib.import_module(f".{command}", __package__).run


def description_of(command: str, is_whole: bool) -> str:
    """Return what a command does: a sentence, or, if ``is_whole``, all that its docstring says before examples."""
    text = _docstring(command).partition("\n\nArgs:\n")[0].partition("\n\nexamples:\n")[0]
    return text if is_whole else text.partition("\n\n")[0]


def examples_of(command: str) -> str:
    """Return lines that show how a command is called; an empty text if there are none."""
    return _docstring(command).partition("\n\nArgs:\n")[0].partition("\n\nexamples:\n")[2]


def exit_codes_of(command: str) -> str:
    """Return a sentence about a command's exit codes."""
    description = " ".join(description_of(command, is_whole=True).split())
    own_sentence = description.partition("Exit code: ")[2]
    return f"Exit code: {own_sentence or _EXIT_CODES}"


def _docstring(command: str) -> str:
    return inspect.getdoc(function_of(command)) or ""  # `python -OO` drops docstrings
