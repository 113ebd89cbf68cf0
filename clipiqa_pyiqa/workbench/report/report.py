"""Reports: the tables of a result and all that a reader needs to know about them, as text or as a page."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ...checks import check_one_of
from ...text import hint_for, log, one_line
from .console import console_table
from .csv_text import csv_table
from .labels import Relabelling, names_in, relabelling, table_as_shown
from .latex import latex_document
from .markdown import markdown_list, markdown_table
from .table import Table

if TYPE_CHECKING:
    import pandas
    from markupsafe import Markup

About = str | Mapping[str, str]
"""What something is, as a sentence or as fields."""


@dataclass
class Report:
    """Tables with all that a reader needs to know about them.

    Attributes:
        metrics: Label -> what the metric is.
        sources: Name of an input -> what it is, with fields such as ``file``, ``sha256`` and ``root``.
        invocation: Likewise, the command line that was called, and the files of options in it.
        pictures: Function of :meth:`relabelled` that returns section of the page -> pictures.
        labels: Name of a metric, method, data set or column -> name to show; not in :attr:`frame`, nor in sentences.
        show: Columns or their headings to show, in this order; tables without one of them stay as they are.
        caption, key: Caption, in LaTeX, and ``\\label`` of the first table in LaTeX.
        texts: Name of a file -> its format in :meth:`text`.
        files: Other files, as for :func:`~clipiqa_pyiqa.workbench.report.reported.save_files`.
        inputs: Files that are never replaced.
    """

    tables: Sequence[Table]
    frame: pandas.DataFrame
    command: str = ""
    title: str = ""
    metrics: Mapping[str, About] = field(default_factory=dict)
    settings: Mapping[str, str] = field(default_factory=dict)
    sources: Mapping[str, About] = field(default_factory=dict)
    invocation: Mapping[str, About] = field(default_factory=dict)
    pictures: Callable[[Relabelling], Mapping[str, Markup]] = lambda relabelled: {}
    texts: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, Any] = field(default_factory=dict)
    inputs: Sequence[str] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    show: Sequence[str] = ()
    caption: str = ""
    key: str = ""

    def __post_init__(self) -> None:
        self._names = names_in(self.tables)
        self.tables = [table_as_shown(table, self.labels, self.show) for table in self.tables]

    @property
    def unknown(self) -> list[str]:
        """Those of ``labels`` and ``show`` that no table has."""
        return [name for name in (*self.labels, *self.show) if name not in self._names]

    def log_unknown_names(self) -> None:
        """Warn of each name in :attr:`unknown`."""
        for name in self.unknown:
            log.warning(f"no table has {name!r}, which is to be shown: {hint_for(name, self._names)}")

    def relabelled(self, name: str) -> str:
        """Return a name as it is to be shown; sentences stay as they are, as their words may be names, too."""
        return relabelling(self.labels)(name)

    @property
    def origin(self) -> dict[str, str]:
        """What the report was made from, as texts: the command line, then each input with its file, hash and folder."""
        texts = {}
        for name, about in {**self.invocation, **self.sources}.items():
            texts[name] = about if isinstance(about, str) else ", ".join(_lines(about))
        return texts

    @property
    def notes(self) -> list[str]:
        """How to read the tables, in sentences."""
        return _notes_on(self.tables)

    @property
    def sentences(self) -> list[str]:
        """All sentences around the tables: :attr:`notes`, then what stands above and below each table."""
        around = [f"{table.title}: {line}" for table in self.tables for line in (*table.before, *table.after)]
        return [*self.notes, *around]

    @property
    def metric_lines(self) -> list[str]:
        """A line for each metric that says what it is."""
        lines = []
        for name, about in self.metrics.items():
            if isinstance(about, str):
                lines.append(f"{self.relabelled(name)}: {about}")
            else:
                lines.append(f"{self.relabelled(name)} = {', '.join(_lines(about)) or 'unknown'}")
        return lines

    def text(self, format: str = "table") -> str:
        """Return the report for a console (``'table'``), as ``'csv'``, ``'markdown'``, ``'latex'``, or as ``'html'``.

        CSV is :attr:`frame` in full precision, for ``pandas.read_csv(file)``, and nothing else: :meth:`provenance` has
        the sentences.
        """
        check_one_of("format", format, ("table", "csv", "markdown", "latex", "html"))
        if format == "csv":
            return csv_table(self.frame)
        if format == "html":
            return self._page()
        if format == "markdown":
            return self._markdown()
        if format == "latex":
            comments = [*self.metric_lines, *_lines(self.origin), *_lines(self.settings)]
            return latex_document(self.tables, comments, self.caption, self.key)
        lines = [*_notes_on(table for table in self.tables if not table.on_console), *self.metric_lines]
        comment = "\n".join(f"# {one_line(line)}" for line in lines)
        return _blocks([comment, *map(console_table, self.tables)])

    def _markdown(self) -> str:
        """Return the tables, sentences and what they were made from, in Markdown."""
        blocks = [*map(markdown_table, self.tables), markdown_list(self.notes)]
        lists = {
            "Which metrics exactly": self.metric_lines,
            "Made from": _lines(self.origin),
            "Settings": _lines(self.settings),
        }
        for heading, lines in lists.items():
            if lines:
                blocks += [f"## {heading}", markdown_list(lines)]
        return _blocks(blocks)

    def provenance(self, hashes: Mapping[str, str]) -> str:
        """Return JSON that says what saved tables were made from, and how to read them.

        Args:
            hashes: Name of a saved file -> its SHA-256.
        """
        fields = {
            "command": f"clipiqa {self.command}",
            "made_from": {**self.invocation, **self.sources},
            "notes": self.sentences,
            "metrics": self.metrics,
            "settings": self.settings,
            "files": hashes,
        }
        return json.dumps(fields, indent=1, ensure_ascii=False, default=dict) + "\n"

    def _page(self) -> str:
        """Return an HTML page, with tables and pictures in sections."""
        from .html import render  # imports matplotlib and jinja2

        tables: dict[str, list[Table]] = {}
        for table in self.tables:
            tables.setdefault(table.section or table.title, []).append(table)
        parts = self.pictures(self.relabelled)
        pictures = {self.relabelled(name): part for name, part in parts.items() if part.strip()}
        sections = {name: (tables.get(name, []), pictures.get(name, "")) for name in {**tables, **pictures}}
        return render(__package__, "report.html.j2", title=self.title, report=self, sections=sections)


def _notes_on(tables: Iterable[Table]) -> list[str]:
    """Return how to read tables, each sentence once."""
    return list(dict.fromkeys(note for table in tables for note in table.notes))


def _lines(values: Mapping[str, str]) -> list[str]:
    return [f"{key}: {value}" for key, value in values.items()]


def _blocks(blocks: Sequence[str]) -> str:
    return "\n\n".join(filter(None, blocks)) + "\n"
