"""``clipiqa gate``: compare two runs over the same inputs."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from ...errors import OptionError
from ..files.names_and_values import numbers_by_name
from .options.continuing import saying_where_results_are
from .options.flags import COLUMNS, group_of_command
from .options.groups import OutputOptions, Scoring, Settings
from .options.messages import note, tell
from .options.metric_options import MetricOptions
from .options.progress import progress
from .options.running import check_inputs, start

if TYPE_CHECKING:
    from ..gate.gate_result import GateResult

ALLOWED = group_of_command("What else may differ")


def run(
    base: Annotated[Path, Parameter(metavar="BASE")],
    new: Annotated[Path, Parameter(metavar="NEW")],
    /,
    *,
    by: Annotated[Sequence[str] | None, Parameter(metavar="COLUMN", group=COLUMNS)] = None,
    key: Annotated[str | None, Parameter(metavar="COLUMN", group=COLUMNS)] = None,
    margin: Annotated[Sequence[str], Parameter(metavar="D|NAME=D")] = (),
    lower_better: Annotated[Sequence[str], Parameter(metavar="COLUMN", group=COLUMNS)] = (),
    higher_better: Annotated[Sequence[str], Parameter(metavar="COLUMN", group=COLUMNS)] = (),
    worst_loss: Annotated[Sequence[str], Parameter(metavar="D|NAME=D")] = (),
    allow_new: Annotated[bool, Parameter(group=ALLOWED)] = False,
    allow_missing: Annotated[str, Parameter(metavar="N|P%", group=ALLOWED)] = "0",
    allow_resize: Annotated[bool, Parameter(group=ALLOWED)] = False,
    allow_flag: Annotated[Sequence[str], Parameter(metavar="FLAG", group=ALLOWED)] = (),
    unclear: Annotated[Literal["fail", "warn"], Parameter(group=ALLOWED)] = "fail",
    page: Annotated[Path | None, Parameter(metavar="DIR")] = None,
    format: Literal["text", "markdown"] = "text",
    suggest_margin: bool = False,
    output: OutputOptions = OutputOptions(),
    metrics: MetricOptions = MetricOptions(),
    scoring: Scoring = Scoring(),
    settings: Settings = Settings(),
) -> int:
    """Check whether a second run over the same inputs got worse, for continuous integration.

    A run is a score file (csv, jsonl or parquet) of any tool, a folder of images to score by --metrics, or a folder
    of results on Ray. Rows match if their paths (below each run's common folder, without suffix) are equal; if none
    are, by the numbers before the first hyphen of all files' names; or by --key COLUMN. The last line is PASSED, or
    FAILED with the reasons. It also fails if new images have equal pixels where the base's differ, another size or a
    new flag, or are missing or damaged. --out receives gate.json, gate.xml (JUnit), rows.csv, provenance.json, and the
    scores of folders. Exit code: 0 passed, 1 failed, 2 bad input, or a metric that cannot be built.

    examples:
      clipiqa gate release-1/ release-2/ --metrics clipiqa --margin 0.01 --out gate/
      clipiqa gate base.parquet new.parquet --margin 0.01 --page gate/
      clipiqa gate base1.parquet base2.parquet --suggest-margin

    Args:
        base: the first run: a score file, a folder of images, or a folder of results on Ray
        new: the second run, likewise
        by: columns to compare; default: every column of both runs, or those of --metrics
        key: column that matches rows; default: the paths, else their leading numbers
        margin: pass only if the loss is surely below D; for the column NAME, or for all others
        lower_better: columns whose low values are good
        higher_better: columns whose high values are good
        worst_loss: fail if an image loses more than D
        allow_new: accept images that only the new run has
        allow_missing: accept so many images, or such a share of the base's, that the new run lacks or that have
            no score; unreadable images fail all the same, and so do fewer than 90 % of the base's images
        allow_resize: accept images of another size
        allow_flag: accept images that only the new run flags: cut, 'almost black', 'almost white', 'almost uniform'
        unclear: whether a margin that so few images cannot decide fails the gate
        page: folder for gate.html, a page with images
        format: markdown: a table for a job's summary
        suggest_margin: print a margin with the loss that it finds, and a worst loss, in place of the verdict; BASE and
            NEW are two runs without a change
    """
    from ..gate.gating import gate

    if suggest_margin:
        _check_no_verdict(margin, worst_loss, unclear, format)
    options: dict[str, Any] = {name: getattr(output, name) for name in ("out", "resume", "overwrite")}
    if metrics != MetricOptions():
        options |= {"metrics": metrics.chosen(), "trust_weights": metrics.trust_weights}
    if "metrics" in options or scoring != Scoring():
        check_inputs(base, new)
        options |= {"device": start(scoring.batches), **scoring.keywords()}
    with saying_where_results_are(output.out), progress() as show:
        gate_result = gate(
            base,
            new,
            by=by,
            key=key,
            margin=numbers_by_name("margin", margin),
            worst_loss=numbers_by_name("worst_loss", worst_loss),
            lower_better=lower_better,
            higher_better=higher_better,
            allow_new=allow_new,
            allow_missing=allow_missing,
            allow_resize=allow_resize,
            allow_flag=allow_flag,
            unclear=unclear,
            page=page,
            progress=show,
            **options,
        )
    if page is not None:
        note(f"the page is {page / 'gate.html'}")
    if suggest_margin:
        return _print_suggestion(gate_result)
    if format == "markdown":
        print(gate_result.job_summary(), end="")
    else:
        _print_verdict(gate_result, is_quiet=output.quiet)
    return 0 if gate_result.has_passed else 1


def _print_verdict(gate_result: "GateResult", is_quiet: bool) -> None:
    """Print each check, the notes and the verdict; with ``is_quiet`` only the checks that fail."""
    from ...text import one_line

    for check in gate_result.checks():
        if check.is_failure or not is_quiet:
            print(one_line(check.sentence))
            for line in check.lines:
                print(one_line(f"  {line}"))
    tell(*map(one_line, gate_result.notes))
    print(one_line(gate_result.line))


def _print_suggestion(gate_result: "GateResult") -> int:
    """Print limits to begin with, and return the exit code."""
    from ...text import one_line

    suggestion = gate_result.suggestion()
    print(*map(one_line, suggestion.lines), sep="\n")
    tell(*(one_line(finding.line) for finding in gate_result.findings))
    return 1 if suggestion.has_failed else 0


def _check_no_verdict(margin: Sequence[str], worst_loss: Sequence[str], unclear: str, format: str) -> None:
    """Raise ``OptionError`` if options of the verdict stand beside --suggest-margin, which gives none."""
    if margin or worst_loss or unclear != "fail" or format != "text":
        of_verdict = "--margin, --worst-loss, --unclear and --format"
        raise OptionError(f"--suggest-margin gives no verdict: leave out {of_verdict}.")
