"""A comparison for the console, and as CSV, Markdown and LaTeX."""

from __future__ import annotations

from collections.abc import Callable

from ..files.names import one_line
from ..report.table import console_table, csv_table, latex_document, markdown_list, markdown_table
from .results import Comparison
from .summary import build_tables, key_lines, legend, provenance_lines, skipped_lines

_WIDE = 10  # columns of a table that a console has room for


def to_text(comparison: Comparison) -> str:
    """The tables for a console: aligned columns, a star behind what stands out."""
    stars = "* highest of its column (of RMSE the lowest), or better by more than chance; ▼ worse by more than chance"
    reading = legend(comparison)
    blocks = ["\n".join(f"# {one_line(line)}" for line in [*reading, stars])] if reading else []
    blocks += [console_table(table) for table in build_tables(comparison) if len(table.columns) <= _WIDE]
    return "\n\n".join(blocks) + "\n"


def to_csv(comparison: Comparison) -> str:
    """``Comparison.frame`` in full precision, after ``# key: value`` lines; ``pandas.read_csv(file, comment='#')``."""
    lines = [*legend(comparison), *key_lines(comparison.settings), *provenance_lines(comparison)]
    for data in comparison.data_sets:
        lines += [f"{data.name}: {line}" for line in ([data.note] * bool(data.note) + skipped_lines(data.skipped))]
    return csv_table(comparison.frame(), lines)


def differences_csv(comparison: Comparison) -> str:
    """``Comparison.differences`` likewise."""
    lines = ["SROCC of the first less that of the second, by a paired bootstrap"]
    return csv_table(comparison.differences(), lines)


def to_markdown(comparison: Comparison) -> str:
    """The tables as GitHub's Markdown, bold what stands out, and which metric each was."""
    reading = legend(comparison)
    blocks = [
        "# Metrics compared",
        *[markdown_list(reading)] * bool(reading),
        *map(markdown_table, build_tables(comparison)),
    ]
    blocks += ["## Which metrics exactly", markdown_list(provenance_lines(comparison))]
    if comparison.settings:
        blocks += ["## Settings", markdown_list(key_lines(comparison.settings))]
    return "\n\n".join(blocks) + "\n"


def to_latex(comparison: Comparison) -> str:
    """The tables as LaTeX that needs only ``booktabs`` and ``graphicx``, bold what stands out.

    What captions have no room for stands in comments: first the settings and which metric each was, then below each
    table why cells are empty and what was left out.
    """
    comments = [*key_lines(comparison.settings), *provenance_lines(comparison)]
    return latex_document(build_tables(comparison), comments)


FORMATS: dict[str, Callable[[Comparison], str]] = {
    "table": to_text,
    "csv": to_csv,
    "markdown": to_markdown,
    "latex": to_latex,
}
