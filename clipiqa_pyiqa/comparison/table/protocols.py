"""How others compute their tables: protocols, one YAML file each."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ...datasets.specification import CompareError
from ...errors import nearest
from ...files.yaml import check_keys, read_mapping, shipped
from .formula import evaluate, formula_names
from .views import View

CERTAINTY = {
    "code": "read in the source's code",
    "author": "as far as its author said",
    "user": "as its users reconstructed it",
}
OF = {False: "the means", True: "each picture, then averaged"}
_SOURCE = ("repository", "commit", "files", "pyiqa", "licence", "said")
_VIEW = ("crop", "square", "longest", "center", "autocast")
_AVERAGES = ("images", "sequences")
UNEQUAL = {
    "": "refused",
    "cut": "both cut at the bottom and the right to the smaller height and width",
    "resize": "both resized to the smaller height and width, bilinearly with antialiasing",
    "reference": "resized to the reference's size, by PIL's bilinear filter",
}
_REQUIRED = ("title", "certainty", "source", "metrics")
_KINDS: dict[str, tuple[Any, Any]] = {  # key of a file -> kind of its value, and of what that holds
    **dict.fromkeys(("title", "certainty", "unequal", "removed", "score", "formula"), (str, object)),
    **dict.fromkeys(("source", "metrics", "not_computed", "values"), (Mapping, str)),
    **{"view": (Mapping, int), "views": (Mapping, Mapping), "average": ((str, Mapping), (int, float))},
    **{"per_picture": (bool, object), "notes": (list, str)},
}


@dataclass(frozen=True)
class Protocol:
    """Metrics that somebody else computes, and how.

    Attributes:
        name: Of its file.
        title: Whose it is.
        certainty: How it is known; a key of ``CERTAINTY``.
        source: Where it is said: ``repository``, ``commit``, ``files`` with lines, ``pyiqa``'s version, ``licence``;
            ``said``: where its author or users said it.
        metrics: Label -> the metric as it is typed behind ``-m``.
        not_computed: Label -> why pyiqa cannot compute it.
        view: What every metric of single images sees.
        views: Label -> what this metric sees instead.
        unequal: What becomes of a picture that is not of its reference's size; a key of ``UNEQUAL``.
        removed: Text that is removed from the names of the methods' pictures.
        average: ``'images'``, ``'sequences'``, or sub-folder -> weight.
        score: Name of a score that combines the others, or empty.
        formula: Of the score, over labels and ``values``; see :mod:`.formula`.
        per_picture: Whether the formula is of each picture's scores, else of the means.
        values: Name of a number that the user gives for the formula -> what it is.
        notes: What else to know, a sentence each.
    """

    name: str
    title: str
    certainty: str
    source: Mapping[str, str]
    metrics: Mapping[str, str]
    not_computed: Mapping[str, str] = field(default_factory=dict)
    view: Mapping[str, Any] = field(default_factory=dict)
    views: Mapping[str, Any] = field(default_factory=dict)
    unequal: str = ""
    removed: str = ""
    average: str | Mapping[str, float] = "images"
    score: str = ""
    formula: str = ""
    per_picture: bool = False
    values: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def sha256(self) -> str:
        """Hash of everything in it."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    def view_of(self, label: str) -> View:
        """Return what a metric sees."""
        return View(**{**self.view, **self.views.get(label, {})})

    def combine(self, scores: Mapping[str, float], values: Mapping[str, float]) -> float:
        """Return the score of some means, or of a picture's scores; NaN where a part is missing."""
        missing = dict.fromkeys([*self.values, *self.not_computed, *self.metrics], math.nan)
        return evaluate(self.formula, {**missing, **values, **scores})

    @property
    def rows(self) -> list[tuple[str, str]]:
        """What it says, as pairs of texts."""
        rows = [("name", self.name), ("whose", self.title), ("known", CERTAINTY[self.certainty]), *self.source.items()]
        for label, metric in self.metrics.items():
            view = self.view_of(label)
            rows.append((label, f"{metric}, {view.words}{', fp16 (autocast on CUDA)' * view.autocast}"))
        rows += [(label, f"not computed here: {why}") for label, why in self.not_computed.items()]
        rows += [("unequal sizes", UNEQUAL[self.unequal])] * bool(self.unequal)
        rows += [("removed from names", self.removed)] * bool(self.removed)
        rows.append(("means", f"over {self.average}" if isinstance(self.average, str) else weighted(self.average)))
        if self.score:
            rows.append((self.score, f"{self.formula}, of {OF[self.per_picture]}"))
        rows += [(f"--value {name}", what) for name, what in self.values.items()]
        return [*rows, *(("note", note) for note in self.notes)]

    @property
    def cited(self) -> str:
        """Its source on one line."""
        said = [self.source.get(key, "") for key in ("repository", "commit", "files")]
        return ", ".join(filter(None, [" ".join(filter(None, said)), self.source.get("said", "")]))


def weighted(weights: Mapping[str, float]) -> str:
    """Return weights of sub-folders in words."""
    return f"weighted: {', '.join(f'{name} {weight:g}' for name, weight in weights.items())}"


def read_protocol(name: str | Path) -> Protocol:
    """Return a protocol of this package by its name, or one's own by the path of its file.

    Raises:
        CompareError: There is none of that name, or the file's values are not as :class:`Protocol` says.
        ConfigError: The file cannot be read, or has unknown or duplicate keys.
    """
    known = shipped(protocols=True)
    path = known.get(str(name).lower()) or Path(name).expanduser()
    if path.suffix not in (".yml", ".yaml"):
        raise CompareError(f"unknown protocol {str(name)!r}: {nearest(str(name), known)}")
    return make_protocol(path.stem, read_mapping(path, _KINDS))


def make_protocol(name: str, values: Mapping[str, Any]) -> Protocol:
    """Return a protocol of the values of a file.

    Raises:
        CompareError: They are not as :class:`Protocol` says.
    """
    given, where = dict(values), f"protocol {name!r}"
    check_keys(given, _KINDS, where)
    if lacking := [key for key in _REQUIRED if key not in given]:
        raise CompareError(f"{where} needs the key {lacking[0]!r}.")
    for key, value in given.items():
        kind, inner = _KINDS[key]
        parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
        named = not isinstance(value, Mapping) or all(isinstance(name, str) for name in value)
        if not (isinstance(value, kind) and named and all(isinstance(part, inner) for part in parts)):
            raise CompareError(f"{key} of {where} is of a wrong kind: got {value!r:.80}.")
    given["notes"] = tuple(given.get("notes", ()))
    protocol = Protocol(name, **given)
    _check_choice(f"certainty of {where}", protocol.certainty, CERTAINTY)
    _check_choice(f"unequal of {where}", protocol.unequal, UNEQUAL)
    for key in protocol.source:
        _check_choice(f"a key of source of {where}", key, _SOURCE)
    if isinstance(protocol.average, str):
        _check_choice(f"average of {where}", protocol.average, _AVERAGES)
    for label in protocol.views:
        _check_choice(f"a key of views of {where}", label, protocol.metrics)
    for view in (protocol.view, *protocol.views.values()):
        for key, value in view.items():
            _check_choice(f"a key of a view of {where}", key, _VIEW)
            if type(value) is not (bool if key == "autocast" else int) or value < 0:
                raise CompareError(f"{key} of a view of {where} must be a whole number of pixels; got {value!r:.80}.")
    labels = [*protocol.metrics, *protocol.not_computed, *protocol.values]
    for label in formula_names(protocol.formula) if protocol.formula else ():
        _check_choice(f"a name in the formula of {where}", label, labels)
    return protocol


def _check_choice(what: str, value: str, known: Any) -> None:
    if value not in known:
        raise CompareError(f"{what} is {value!r}: {nearest(str(value), known)}")
