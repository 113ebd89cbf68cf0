"""Reports: what a command found, as text, as a page, and as files."""

from __future__ import annotations

import itertools
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...checks import FilePath
from ...files.hashes import hash_file
from ...files.printable import one_line
from ...files.writing import resolved, write_bytes, write_text
from ...logger import log
from ...text import hint_for
from ..files.folders import make_folder
from ..files.locking import locked
from .console import console_table
from .csv_text import csv_table
from .latex import latex_document
from .markdown import markdown_list, markdown_table
from .table import MINUS, Table

if TYPE_CHECKING:
    import pandas
    from markupsafe import Markup

About = str | Mapping[str, str]
"""What something is, as a sentence or as fields."""
Relabelling = Callable[[str], str]
"""A function of a name that returns it as it is to be shown."""
COLUMNS_OF_NAMES = ("metric", "method")
"""Columns, beside each table's first one, whose cells are names."""
PROVENANCE = "provenance.json"
"""The file beside saved tables that says what they were made from, and how to read them."""


def relabelling(labels: Mapping[str, str]) -> Relabelling:
    """Return the function that gives the label of a name; a name without a label stays as it is."""
    return lambda name: labels.get(name, name)


@dataclass
class Report:
    """Tables with all that a reader needs to know about them.

    Attributes:
        metrics: Label -> what the metric is.
        sources: Name of an input -> what it is, with fields such as ``file``, ``sha256`` and ``root``.
        invocation: Likewise, the command line that was called, and the files of options in it.
        pictures: Function of :meth:`relabelled` that returns section of the page -> pictures.
        labels: Name of a metric, method, data set or column -> name to show; not in :attr:`frame`, nor in sentences.
        unknown: Those of ``labels`` and ``show`` that no table has.
        show: Columns or their headings to show, in this order; tables without one of them stay as they are.
        caption, key: Caption, in LaTeX, and ``\\label`` of the first table in LaTeX.
        texts: Name of a file -> its format in :meth:`text`.
        files: Other files, as for :func:`save_files`.
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
        names = self._names()
        self.unknown = [name for name in (*self.labels, *self.show) if name not in names]
        for name in self.unknown:
            log.warning(f"no table has {name!r}, which is to be shown: {hint_for(name, names)}")
        self.tables = list(map(self._as_shown, self.tables))

    def _names(self) -> dict[str, None]:
        """Return the names in the tables: of the first table's rows, of columns, of their groups and of sections."""
        names = {cell.text: None for table in self.tables[:1] for cell in table.columns[0].cells}
        for table in self.tables:
            names |= {name: None for column in table.columns for name in (column.name, column.group, table.section)}
        names.pop("", None)
        return names

    def relabelled(self, name: str) -> str:
        """Return a name as it is to be shown; sentences stay as they are, as their words may be names, too."""
        return relabelling(self.labels)(name)

    def _as_shown(self, table: Table) -> Table:
        """Return a table with the user's labels, and with the columns that are to be shown."""
        first, *others = table.columns
        groups = dict.fromkeys(column.group for column in others)
        places = itertools.product(groups, self.show, others)
        chosen = [column for group, name, column in places if column.group == group and name in (column.name, group)]
        relabelled = self.relabelled
        columns = []
        columns_to_show = [first, *chosen] if chosen else table.columns
        for column in columns_to_show:
            cells = column.cells
            if column is first or column.name in COLUMNS_OF_NAMES:
                cells = [replace(cell, text=self._relabelled_names(cell.text)) for cell in cells]
            columns.append(replace(column, name=relabelled(column.name), group=relabelled(column.group), cells=cells))
        return replace(
            table,
            title=self._relabelled_title(table),
            columns=columns,
            reasons={relabelled(name): reason for name, reason in table.reasons.items()},
            section=relabelled(table.section),
        )

    def _relabelled_title(self, table: Table) -> str:
        """Return a title as it is to be shown; some begin with the section's name."""
        if not table.title.startswith(table.section):
            return table.title
        return self.relabelled(table.section) + table.title.removeprefix(table.section)

    def _relabelled_names(self, text: str) -> str:
        """Return a cell's name, or two names with a minus between them, as they are to be shown."""
        if text in self.labels:
            return self.labels[text]
        return MINUS.join(map(self.relabelled, text.split(MINUS)))

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


class Reported(ABC):
    """A result that can be shown as a report, and saved with its files of scores (name -> results)."""

    stored: Mapping[str, Any] = {}

    @abstractmethod
    def report(self, **look: Any) -> Report:
        """Return the result as a report.

        Args:
            look: ``labels``, ``show``, ``caption`` and ``key``, as for :class:`Report`.
        """

    @property
    def is_as_expected(self) -> bool:
        """Whether the result agrees with all that was expected of it."""
        return True

    def table(self, format: str = "table", **look: Any) -> str:
        """Return the tables as text.

        Args:
            format: As for :meth:`Report.text`.
            look: As for :meth:`report`.
        """
        return self.report(**look).text(format)

    def save(self, folder: FilePath, *, overwrite: bool = False, **look: Any) -> Report:
        """Write the report's texts, its other files and every score; return the report.

        Args:
            overwrite: Replace existing files; results of this very run are always replaced.
            look: As for :meth:`report`.
        """
        report = self.report(**look)
        place = resolved(folder)
        is_own = any(results.output and results.output.path == place / name for name, results in self.stored.items())
        tables = [*report.texts, *report.files]
        beside = [PROVENANCE] if report.texts else []
        names = [*tables, *beside, *self.stored]
        make_folder(place, names, overwrite=overwrite or is_own, inputs=report.inputs)
        with locked(place):
            save_files(place, {name: report.text(format) for name, format in report.texts.items()} | {**report.files})
            for name, results in self.stored.items():
                results.write(place / name, Path(name).suffix[1:])
            if beside:
                saved = [name for name in (*tables, *self.stored) if (place / name).exists()]
                write_text(place / PROVENANCE, report.provenance({name: hash_file(place / name) for name in saved}))
        return report


def save_files(folder: Path, files: Mapping[str, Any]) -> None:
    """Write files: name -> text, bytes, frame, or figure in the format of the suffix; None deletes the file."""
    for name, content in files.items():
        path = folder / name
        if content is None:
            path.unlink(missing_ok=True)  # the file is from an earlier run
        elif isinstance(content, str):
            write_text(path, content)
        elif isinstance(content, bytes):
            write_bytes(path, content)
        elif hasattr(content, "to_csv"):
            write_text(path, csv_table(content))
        else:
            from .pictures import save_figure  # imports matplotlib

            save_figure(content, path)


def _notes_on(tables: Iterable[Table]) -> list[str]:
    """Return how to read tables, each sentence once."""
    return list(dict.fromkeys(note for table in tables for note in table.notes))


def _lines(values: Mapping[str, str]) -> list[str]:
    return [f"{key}: {value}" for key, value in values.items()]


def _blocks(blocks: Sequence[str]) -> str:
    return "\n\n".join(filter(None, blocks)) + "\n"
