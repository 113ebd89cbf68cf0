"""Which files of several methods show the same picture: by name, within test sets, with their references."""

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
    """The same pictures as several methods made them.

    Attributes:
        methods: Their names, in the order given.
        files: Method -> name of the picture -> file.
        references: Name of the picture -> its reference; empty if none were given.
        test_sets: Name of a test set -> the names of its pictures, in order; ``''`` if there is but one.
        left_out: What was there and is not in the table, a sentence each.
        weights: Name of the picture -> its weight in means; empty if all weigh the same.
    """

    methods: tuple[str, ...]
    files: Mapping[str, Mapping[str, str]]
    references: Mapping[str, str]
    test_sets: Mapping[str, tuple[str, ...]]
    left_out: tuple[str, ...] = ()
    weights: Mapping[str, float] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """Names of all pictures, test set by test set."""
        return [name for names in self.test_sets.values() for name in names]

    @property
    def inputs(self) -> list[str]:
        """Every file."""
        return [*self.references.values(), *(path for files in self.files.values() for path in files.values())]


def parse_methods(given: Mapping[str, Place] | Iterable[str]) -> dict[str, str]:
    """Return methods as name -> folder, from ``NAME=FOLDER`` or a folder alone, whose name is then the method's.

    Raises:
        CompareError: None are given, a part is empty, or a name or a folder comes twice.
    """
    if isinstance(given, str | os.PathLike):
        given = [os.fspath(given)]
    pairs = list(given.items()) if isinstance(given, Mapping) else [_split(os.fspath(text)) for text in given]
    if not pairs:
        raise CompareError("no method is given: name some, as in --methods bicubic=out/bicubic ours=out/ours.")
    methods: dict[str, str] = {}
    for name, place in pairs:
        place = os.path.expanduser(os.fspath(place))
        if not str(name).strip() or not place:
            raise CompareError(f"a method must be NAME=FOLDER; got {f'{name}={place}'!r}.")
        if name in methods:
            raise CompareError(f"two methods are called {name!r}: give each a name of its own, as in 'ours2={place}'.")
        for other, there in methods.items():
            if os.path.realpath(there) == os.path.realpath(place):
                raise CompareError(f"{other!r} and {name!r} are the same folder, {place!r}: leave one of them out.")
        methods[str(name)] = place
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
    """Match the files of several methods, and their references, by name.

    A picture is called by its path within the folder, without suffix; where names differ, patterns pair by what their
    wildcards match (:func:`~clipiqa_pyiqa.sources.naming.named_images`).

    Args:
        methods: Name -> folder or pattern.
        reference: Folder or pattern of the references.
        skip_missing: Leave pictures that not all methods and the references have out of all, in place of an error.
        by_folder: Take the first sub-folder for the test set, if every picture lies in one.
        removed: Text that is removed from the names of the methods' pictures, such as ``'x4'``.
        average: ``'images'``; ``'sequences'``, the mean of the sub-folders' means; or sub-folder -> weight.

    Raises:
        CompareError: Nothing is shared, something is missing somewhere, or a sub-folder has no weight.
        PairingError: A folder is missing or empty, or two of its images have one name.
    """
    files = {method: _without(removed, named_images(place)) for method, place in methods.items()}
    references = {} if reference is None else named_images(os.path.expanduser(os.fspath(reference)))
    everywhere = {**files, **({"the reference": references} if reference is not None else {})}
    union = list(dict.fromkeys(name for found in files.values() for name in found))
    shared = [name for name in union if all(name in found for found in everywhere.values())]
    if not shared:
        said = "; ".join(f"{who} has {few(list(found)[:3])}" for who, found in everywhere.items())
        raise CompareError(
            f"no picture is in all of them ({said}): give folders whose files have the same names, or patterns such as "
            "'out/*_ours.png', which pair by what * matches."
        )
    lines = [
        f"{w} lacks {few(lost)}" for w, found in everywhere.items() if (lost := [n for n in union if n not in found])
    ]
    if lines and not skip_missing:
        count = len(union) - len(shared)
        raise CompareError(
            f"{count} of {counted(len(union), 'picture')} {'is' if count == 1 else 'are'} not everywhere "
            f"({'; '.join(lines)}): complete the folders, or pass --skip-missing (skip_missing=True) to leave them out "
            "of all methods."
        )
    left_out = [f"{line}: left out of all methods" for line in lines]
    if extra := [name for name in references if name not in union]:
        left_out.append(f"of the reference, {few(extra)} {'is' if len(extra) == 1 else 'are'} in no method's folder")
    for name in shared:
        known: dict[str, str] = {}
        for who, found in everywhere.items():
            if (other := known.setdefault(os.path.realpath(found[name]), who)) != who:
                raise CompareError(f"{name!r} of {who} and of {other} is one file: give different folders.")
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
    if not removed:
        return dict(found)
    names = {name.replace(removed, ""): path for name, path in found.items()}
    if len(names) < len(found):
        raise CompareError(f"two pictures have one name without {removed!r}: rename one of them.")
    return names


def _test_sets(names: list[str], by_folder: bool) -> dict[str, tuple[str, ...]]:
    if not by_folder or not all("/" in name for name in names):
        return {"": tuple(names)}
    sets: dict[str, list[str]] = {}
    for name in names:
        sets.setdefault(name.partition("/")[0], []).append(name)
    return {folder: tuple(found) for folder, found in sets.items()}


def _weights(names: list[str], average: str | Mapping[str, float]) -> dict[str, float]:
    """Each picture's share of its sub-folder's weight."""
    folders = {name: name.partition("/")[0] if "/" in name else "" for name in names}
    counts = Counter(folders.values())
    weights = dict.fromkeys(counts, 1.0) if isinstance(average, str) else average
    if lacking := [folder for folder in counts if folder not in weights]:
        raise CompareError(f"the sub-folder {lacking[0]!r} has no weight: name it one of {', '.join(weights)}.")
    return {name: weights[folder] / counts[folder] for name, folder in folders.items()}
