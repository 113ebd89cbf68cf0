"""Protocols: how published tables are computed and images prepared, one YAML file each."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from ...checks import check_keys, check_list, check_mapping, check_number, check_one_of, check_text, check_truth
from ...errors import CLIPIQAError, OptionError
from ...text import hint_for
from ..files.shipped import shipped_protocols
from ..files.yaml import read_mapping
from ..metrics.view import View
from .formula import formula_value

CERTAINTY = {
    "code": "read in the source's code",
    "author": "as far as its author said",
    "user": "as its users reconstructed it",
}
_UNEQUAL = {
    "": "refused",
    "cut": "both cut at the bottom and the right to the smaller height and width",
    "resize": "both resized to the smaller height and width, bilinearly with antialiasing",
    "reference": "resized to the reference's size, by PIL's bilinear filter",
}


@dataclass(frozen=True)
class Protocol:
    """The way a published table computes its metrics; docs/published-numbers.md shows a file.

    Attributes:
        source: Where the rules come from: repository, commit, files, pyiqa's version, licence, discussions.
        metrics: Label -> metric, as written after ``-m``.
        not_computed: Label -> why pyiqa cannot compute the metric.
        view, views: Fields of ``View`` for all metrics; label -> changes of these fields.
        average: ``'images'``, ``'sequences'``, or sub-folder -> weight.
        per_picture: Whether the formula takes each image's scores instead of the means.
        values: Name of a number that the user gives -> its meaning.
    """

    name: str
    title: str
    certainty: Literal["code", "author", "user"]
    source: str
    metrics: dict[str, str]
    not_computed: dict[str, str] = field(default_factory=dict)
    view: dict[str, Any] = field(default_factory=dict)
    views: dict[str, dict[str, Any]] = field(default_factory=dict)
    unequal: Literal["", "cut", "resize", "reference"] = ""
    removed: str = ""
    average: Literal["images", "sequences"] | dict[str, float] = "images"
    score: str = ""
    formula: str = ""
    per_picture: bool = False
    values: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name in ("title", "source", "removed", "score", "formula"):
            check_text(name, getattr(self, name))
        for name in ("metrics", "not_computed", "view", "views", "values"):
            check_mapping(name, getattr(self, name))
        for label, view in self.views.items():
            check_mapping(f"views of {label}", view)
        check_one_of("certainty", self.certainty, CERTAINTY)
        check_one_of("unequal", self.unequal, _UNEQUAL)
        check_truth("per_picture", self.per_picture)
        check_list("notes", self.notes)
        if isinstance(self.average, Mapping):
            for folder, weight in self.average.items():
                check_number(f"the weight of {folder}", weight)
        else:
            check_one_of("average", self.average, ("images", "sequences"))

    def view_of(self, label: str) -> View:
        return View(**{**self.view, **self.views.get(label, {})})

    def without(self, labels: Iterable[str]) -> Protocol:
        """Return the protocol, which says of these metrics that they were not asked for."""
        return replace(self, not_computed={**self.not_computed, **dict.fromkeys(labels, "not asked for")})

    def combine(self, scores: Mapping[str, float], values: Mapping[str, float]) -> float:
        """Return the formula's value; NaN if a part is missing."""
        missing = dict.fromkeys([*self.values, *self.not_computed, *self.metrics], math.nan)
        return formula_value(self.formula, {**missing, **values, **scores})

    def sentences(self, off_protocol: Sequence[str]) -> Iterator[str]:
        """Yield what a reader of the table needs to know.

        Args:
            off_protocol: What differs from the protocol, in words.
        """
        yield f"Protocol {self.name}: {self.title}; {CERTAINTY[self.certainty]} ({self.source})."
        if off_protocol:
            yield f"Differs from protocol {self.name}: {', '.join(off_protocol)}."
        if self.score:
            of = "each image, then averaged" if self.per_picture else "the means"
            yield f"{self.score} = {self.formula}, of {of}."
        if self.average != "images":
            yield f"Means are {self._average_in_words()}; they are not compared image by image."
        if self.unequal:
            yield f"Images that are not of their reference's size: {_UNEQUAL[self.unequal]}."
        yield from self.notes

    def _average_in_words(self) -> str:
        if isinstance(self.average, str):
            return f"over {self.average}"
        weights = [f"{name} {weight:g}" for name, weight in self.average.items()]
        return f"weighted: {', '.join(weights)}"


NO_PROTOCOL = Protocol("", "", "code", "", {})


def read_protocol(name: str | Path) -> Protocol:
    """Return a protocol, from the name of a shipped protocol or the path of a file."""
    ours = shipped_protocols()
    path = ours.get(str(name).lower()) or Path(name).expanduser()
    if path.suffix not in (".yml", ".yaml"):
        raise CLIPIQAError(f"unknown protocol {str(name)!r}: {hint_for(str(name), ours)}")
    values = read_mapping(path, Protocol.__dataclass_fields__.keys() - {"name"})
    where = f"protocol {path.stem!r}"
    lacking = {"title", "certainty", "source", "metrics"} - values.keys()
    if lacking:
        raise CLIPIQAError(f"{where} needs the key {min(lacking)!r}.")
    try:
        protocol = Protocol(path.stem, **values)  # checked as it stands, then with texts, as YAML may hold numbers
        for key in ("metrics", "not_computed", "values"):
            values[key] = {str(label): str(text) for label, text in getattr(protocol, key).items()}
        protocol = replace(protocol, **values)
        check_keys(protocol.views, protocol.metrics, f"the views of {where}")
        for view in (protocol.view, *protocol.views.values()):
            check_keys(view, View.__dataclass_fields__, f"a view of {where}")
            View(**view)
    except OptionError as error:
        raise CLIPIQAError(f"{where}: {error}") from error
    if protocol.formula:
        formula_value(
            protocol.formula, dict.fromkeys([*protocol.metrics, *protocol.not_computed, *protocol.values], 1.0)
        )
    return protocol
