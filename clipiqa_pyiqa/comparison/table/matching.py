"""Images of several methods, matched by name within test sets."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import pandas

from ...datasets.specification import CompareError
from ...errors import counted
from ...sources.naming import few, named_images

Place = str | os.PathLike[str]


@dataclass(frozen=True)
class MethodImages:
    """The images of several methods, matched by name.

    Attributes:
        files: A row per image, a column per method.
        references: Image -> reference.
        test_sets: Test set -> images; a single test set is called ``''``.
        left_out: Sentences on images that are left out.
        weights: Image -> weight in means; empty if equal.
    """

    files: pandas.DataFrame
    references: Mapping[str, str]
    test_sets: Mapping[str, tuple[str, ...]]
    left_out: tuple[str, ...] = ()
    weights: Mapping[str, float] = field(default_factory=dict)

    @property
    def inputs(self) -> list[str]:
        return [*self.references.values(), *self.files.to_numpy().ravel()]


def parse_methods(given: Mapping[str, Place] | Iterable[str]) -> dict[str, str]:
    """Return method -> folder or pattern, from a mapping or from texts ``NAME=FOLDER``."""
    methods: dict[str, str] = {}
    for name, place in given.items() if isinstance(given, Mapping) else (text.partition("=")[::2] for text in given):
        if not name or not os.fspath(place):
            raise CompareError(f"a method must be NAME=FOLDER; got {f'{name}={place}'!r}.")
        if name in methods:
            raise CompareError(f"two methods are called {name!r}: rename one, as in 'ours2={place}'.")
        methods[name] = os.path.expanduser(os.fspath(place))
    if not methods:
        raise CompareError("no method is given: name at least one, as in --methods bicubic=out/bicubic ours=out/ours.")
    return methods


def match_pictures(
    methods: Mapping[str, str],
    reference: Place | None = None,
    *,
    skip_missing: bool = False,
    by_folder: bool = True,
    removed: str = "",
    average: str | Mapping[str, float] = "images",
) -> MethodImages:
    """Return the images of several methods, matched by name; options as in ``table`` and ``Protocol``."""
    named = {method: pandas.Series(_without(removed, named_images(place))) for method, place in methods.items()}
    files = pandas.concat(named, axis=1, sort=False)  # a row per image that any method has
    references = {} if reference is None else named_images(os.path.expanduser(os.fspath(reference)))
    everywhere = files.assign(**{"the reference": pandas.Series(references)}) if reference is not None else files
    shared = everywhere.dropna()
    if shared.empty:
        examples = "; ".join(f"{who} has {few(paths.dropna().index[:3])}" for who, paths in everywhere.items())
        raise CompareError(
            f"no image is in all folders ({examples}): give folders whose files have the same names, or patterns "
            "such as 'out/*_ours.png', which pair images by the text that * matches."
        )
    lines = [f"{who} lacks {few(files.index[paths.isna()])}" for who, paths in everywhere.items() if paths.hasnans]
    if lines and not skip_missing:
        raise CompareError(
            f"{len(files) - len(shared)} of {counted(len(files), 'image')} are not in all folders ({'; '.join(lines)}"
            "): complete the folders, or leave these images out (skip_missing)."
        )
    left_out = [f"{line}: left out of all methods" for line in lines]
    if extra := [name for name in references if name not in files.index]:
        left_out.append(f"no method has {few(extra)}, which the reference has")
    folders = {name: name.partition("/")[0] if "/" in name else "" for name in shared.index}
    return MethodImages(
        shared[list(methods)],
        {name: references[name] for name in shared.index} if references else {},
        _test_sets(folders, by_folder and average == "images"),
        tuple(left_out),
        {} if average == "images" else _weights(folders, average),
    )


def _without(removed: str, found: Mapping[str, str]) -> dict[str, str]:
    names = {name.replace(removed, "") if removed else name: path for name, path in found.items()}
    if len(names) < len(found):
        raise CompareError(f"two images have the same name without {removed!r}: rename one of them.")
    return names


def _test_sets(folders: Mapping[str, str], by_folder: bool) -> dict[str, tuple[str, ...]]:
    if not by_folder or "" in folders.values():
        return {"": tuple(folders)}
    return {each: tuple(name for name in folders if folders[name] == each) for each in dict.fromkeys(folders.values())}


def _weights(folders: Mapping[str, str], average: str | Mapping[str, float]) -> dict[str, float]:
    counts = Counter(folders.values())
    weights = dict.fromkeys(counts, 1.0) if isinstance(average, str) else average
    if unknown := [folder for folder in counts if folder not in weights]:
        raise CompareError(f"the sub-folder {unknown[0]!r} has no weight: rename it to one of {', '.join(weights)}.")
    return {name: weights[folder] / counts[folder] for name, folder in folders.items()}
