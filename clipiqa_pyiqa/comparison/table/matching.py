"""Pictures of several methods, matched by name within test sets."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ...datasets.specification import CompareError
from ...errors import counted
from ...sources.naming import few, named_images

Place = str | os.PathLike[str]


@dataclass(frozen=True)
class Pictures:
    """The pictures of several methods, matched by name.

    Attributes:
        files: Method -> picture -> file.
        references: Picture -> reference.
        test_sets: Test set -> pictures; a single test set is called ``''``.
        left_out: Sentences on pictures that are left out.
        weights: Picture -> weight in means; empty for equal weights.
    """

    methods: tuple[str, ...]
    files: Mapping[str, Mapping[str, str]]
    references: Mapping[str, str]
    test_sets: Mapping[str, tuple[str, ...]]
    left_out: tuple[str, ...] = ()
    weights: Mapping[str, float] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        return [name for names in self.test_sets.values() for name in names]

    @property
    def inputs(self) -> list[str]:
        return [*self.references.values(), *(path for files in self.files.values() for path in files.values())]


def parse_methods(given: Mapping[str, Place] | Iterable[str]) -> dict[str, str]:
    """Return method -> folder or pattern, from a mapping or from texts ``NAME=FOLDER`` or ``FOLDER``."""
    if isinstance(given, str | os.PathLike):
        given = [os.fspath(given)]
    pairs = list(given.items()) if isinstance(given, Mapping) else [_split(os.fspath(text)) for text in given]
    if not pairs:
        raise CompareError("no method is given: name at least one, as in --methods bicubic=out/bicubic ours=out/ours.")
    methods: dict[str, str] = {}
    for name, place in pairs:
        if not str(name).strip() or not os.fspath(place):
            raise CompareError(f"a method must be NAME=FOLDER; got {f'{name}={place}'!r}.")
        if name in methods:
            raise CompareError(f"two methods are called {name!r}: rename one, as in 'ours2={place}'.")
        methods[str(name)] = os.path.expanduser(os.fspath(place))
    return methods


def match_pictures(
    methods: Mapping[str, str],
    reference: Place | None = None,
    *,
    skip_missing: bool = False,
    by_folder: bool = True,
    removed: str = "",
    average: str | Mapping[str, float] = "images",
) -> Pictures:
    """Return the pictures of several methods, matched by name; options as in ``table`` and ``Protocol``."""
    files = {method: _without(removed, named_images(place)) for method, place in methods.items()}
    references = {} if reference is None else named_images(os.path.expanduser(os.fspath(reference)))
    everywhere = {**files, **({"the reference": references} if reference is not None else {})}
    union = list(dict.fromkeys(name for found in files.values() for name in found))
    shared = [name for name in union if all(name in found for found in everywhere.values())]
    if not shared:
        examples = "; ".join(f"{who} has {few(list(found)[:3])}" for who, found in everywhere.items())
        raise CompareError(
            f"no picture is in all folders ({examples}): give folders whose files have the same names, or patterns "
            "such as 'out/*_ours.png', which pair pictures by the text that * matches."
        )
    missing = {who: [name for name in union if name not in found] for who, found in everywhere.items()}
    lines = [f"{who} lacks {few(names)}" for who, names in missing.items() if names]
    if lines and not skip_missing:
        raise CompareError(
            f"{len(union) - len(shared)} of {counted(len(union), 'picture')} are not in all folders ({'; '.join(lines)}"
            "): complete the folders, or leave these pictures out (skip_missing)."
        )
    left_out = [f"{line}: left out of all methods" for line in lines]
    if extra := [name for name in references if name not in union]:
        left_out.append(f"no method has {few(extra)}, which the reference has")
    return Pictures(
        tuple(methods),
        {method: {name: found[name] for name in shared} for method, found in files.items()},
        {name: references[name] for name in shared} if references else {},
        _test_sets(shared, by_folder and average == "images"),
        tuple(left_out),
        {} if average == "images" else _weights(shared, average),
    )


def _split(text: str) -> tuple[str, str]:
    name, equals, place = text.partition("=")
    if equals and not os.path.isdir(text):
        return name.strip(), place.strip()
    return os.path.basename(os.path.normpath(text)), text


def _without(removed: str, found: Mapping[str, str]) -> dict[str, str]:
    names = {name.replace(removed, "") if removed else name: path for name, path in found.items()}
    if len(names) < len(found):
        raise CompareError(f"two pictures have the same name without {removed!r}: rename one of them.")
    return names


def _test_sets(names: list[str], by_folder: bool) -> dict[str, tuple[str, ...]]:
    if not by_folder or not all("/" in name for name in names):
        return {"": tuple(names)}
    sets: dict[str, list[str]] = {}
    for name in names:
        sets.setdefault(name.partition("/")[0], []).append(name)
    return {folder: tuple(found) for folder, found in sets.items()}


def _weights(names: list[str], average: str | Mapping[str, float]) -> dict[str, float]:
    folders = {name: name.partition("/")[0] if "/" in name else "" for name in names}
    counts = Counter(folders.values())
    weights = dict.fromkeys(counts, 1.0) if isinstance(average, str) else average
    if unknown := [folder for folder in counts if folder not in weights]:
        raise CompareError(f"the sub-folder {unknown[0]!r} has no weight: rename it to one of {', '.join(weights)}.")
    return {name: weights[folder] / counts[folder] for name, folder in folders.items()}
