"""``clipiqa gate``: compare two runs over the same inputs."""

from argparse import Namespace
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from ...errors import CLIPIQAError
from ..options import SharedOptions
from .options.groups import Asked, OutputOptions, check_inputs, start
from .options.parser import Parser
from .options.terminal import in_shell, numbers_by_name, progress, stored, tell


def run(
    asked: Asked,
    images: SharedOptions,
    output: OutputOptions,
    base: Path,
    new: Path,
    *,
    by: list[str] | None = None,
    key: str | None = None,
    margin: Sequence[str] = (),
    lower_better: Sequence[str] = (),
    higher_better: Sequence[str] = (),
    worst_loss: Sequence[str] = (),
    skip_missing: bool = False,
    page: Path | None = None,
    format: Literal["text", "markdown"] = "text",
    suggest_margin: bool = False,
) -> int:
    """Check whether a second run over the same inputs got worse, for continuous integration.

    A run is a score file (csv, jsonl or parquet) of any tool, a folder of images to score by --metrics, or a folder
    of results on Ray. Rows match if their paths (below each run's common folder, without suffix) or their values in
    --key COLUMN are equal. --out receives gate.json, gate.xml (JUnit), rows.csv, and the scores of folders. Exit code:
    0 passed, 1 worse or scores missing (with --margin, also: unclear), 2 bad input.

    examples:
      clipiqa gate release-1/ release-2/ --metrics clipiqa --margin 0.01 --out gate/
      clipiqa gate base.parquet new.parquet --margin 0.01 --page gate/
      clipiqa gate base1.parquet base2.parquet --suggest-margin

    Args:
        base (BASE): the first run
        new (NEW): the second run
        by: columns to compare; default: every column of both runs, or those of --metrics
        key (COLUMN): column that matches rows; default: the paths
        margin (D|NAME=D): pass only if the loss is surely below D; for the column NAME, or for all others
        lower_better: columns whose low values are good
        higher_better: columns whose high values are good
        worst_loss (D|NAME=D): fail if an image loses more than D
        skip_missing: leave out rows without a score in one of the runs
        page (DIR): folder for gate.html, a page with images
        format: markdown: a table for a job's summary
        suggest_margin: print a margin, and the loss that it finds; BASE and NEW are two runs without a change
    """
    from ...files.printable import one_line
    from ..gate.gating import gate
    from ..gate.verdicts import FAILED

    options: dict[str, Any] = {name: getattr(output, name) for name in ("out", "resume", "overwrite")}
    if asked != Asked():
        options |= {"metrics": asked.chosen(), **asked.building()}
    if "metrics" in options or images != SharedOptions():
        check_inputs(base, new)
        options |= {"device": start(images), **images.keywords()}
    with stored(output.out), progress() as show:
        found = gate(
            base,
            new,
            by=by,
            key=key,
            margin=numbers_by_name("margin", margin),
            worst_loss=numbers_by_name("worst_loss", worst_loss),
            lower_better=lower_better,
            higher_better=higher_better,
            skip_missing=skip_missing,
            page=page,
            progress=show,
            **options,
        )
    if format == "markdown":
        print(found.report().text(format), end="")
    else:
        for _, verdict, text, rows in found.checks():
            if not output.quiet or verdict in FAILED:
                print(*map(one_line, (in_shell(text), *(f"  {row}" for row in rows))), sep="\n")
        tell(*map(one_line, found.notes))
    if suggest_margin:
        print(*map(one_line, found.margins()), sep="\n")
    return 0 if found.passed else 1


def publish_error(argv: Sequence[str], args: Namespace, text: str) -> None:
    """Put an error in place of what a job would publish: an earlier run's ``gate.xml``, or an empty summary."""
    parser = Parser(add_help=False)  # of a few options, since others may be mistyped
    parser.add_argument("--overwrite", "--resume", action="store_true")
    for flags in (("-o", "--out"), ("--format",)):
        parser.add_argument(*flags, nargs="?")
    given = vars(parser.parse_known_args(argv, args)[0])
    if given.get("format") == "markdown":
        from ..report.table import markdown

        print(f"## error\n\n{markdown(text)}")
    if given.get("out"):
        from ...files.writing import write_bytes
        from ..files.folders import check_folder
        from ..gate.gate_result import WRITTEN, junit

        with suppress(CLIPIQAError):
            out = check_folder(given["out"], WRITTEN, overwrite="overwrite" in given)
            write_bytes(out / "gate.xml", junit("clipiqa gate", [("gate", "error", text, ())]))
