"""An error of ``clipiqa gate``, published in place of the verdict that a job would publish."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated

from cyclopts import App, CycloptsError, Parameter

from ...errors import CLIPIQAError
from .command_line import CommandLine
from .options.groups import Settings


@Parameter(name="*")
@dataclass(frozen=True)
class _Published:
    """The few options that decide what a job publishes."""

    out: Annotated[str, Parameter(alias="-o")] = ""
    page: str = ""
    format: str = ""
    overwrite: bool = False
    resume: bool = False


def publish_error(words: Sequence[str], text: str) -> None:
    """Put an error in place of what a job would publish: an earlier run's verdict and page, or an empty summary.

    Args:
        words: The command line behind ``gate``.
    """
    output = _published_output(words)
    if output.format == "markdown":
        from ..report.markdown import markdown

        print(f"## ERROR: no verdict\n\n{markdown(text)}")
    with suppress(CLIPIQAError):
        _replace_verdict(output, text, inputs=filter(os.path.isfile, words))


def _replace_verdict(output: _Published, text: str, inputs: Iterable[str]) -> None:
    """Write an error in place of an earlier verdict. Raises if that is not allowed, or if another gate writes there."""
    from ...files import write_bytes
    from ..files.folders import check_folder, make_folder
    from ..gate.earlier_verdict import remove_earlier_verdict
    from ..gate.gate_report import PAGE, WRITTEN
    from ..gate.junit import Check, junit

    may_replace = output.overwrite or output.resume
    page = check_folder(output.page, [PAGE], overwrite=may_replace) if output.page else None
    folder = make_folder(output.out, WRITTEN, overwrite=may_replace, inputs=inputs) if output.out else None
    remove_earlier_verdict(folder, page)
    if folder is not None:
        write_bytes(folder / "gate.xml", junit("clipiqa gate", [Check("gate", "error", text)]))


def _published_output(words: Sequence[str]) -> _Published:
    """Return what a command line says of the output, though other options may be mistyped.

    The parser of the command does not tell: at some mistakes, it stops before it has read all words.
    """
    app = App(config=CommandLine(allows_unknown=True), exit_on_error=False, print_error=False)

    @app.default
    def published(
        *_: Annotated[str, Parameter(allow_leading_hyphen=True)],
        output: _Published = _Published(),
        settings: Settings = Settings(),
    ) -> _Published:
        return output

    try:
        command, bound, *_ = app.parse_known_args(words)
        return command(*bound.args, **bound.kwargs)
    except (CycloptsError, CLIPIQAError):
        return _Published()
