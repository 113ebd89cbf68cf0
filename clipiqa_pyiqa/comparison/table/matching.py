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
    """The same pictures of several methods.

    Attributes:
        files: Method -> name of the picture -> file.
        references: Name of the picture -> reference; empty without references.
        test_sets: Test set -> names of its pictures; one test set is called ``''``.
        left_out: What is not in the table, a sentence each.
        weights: Name of the picture -> weight in means; empty if all weigh the same.
    """

    methods: tuple[str, ...]
    files: Mapping[str, Mapping[str, str]]
    references: Mapping[str, str]
    test_sets: Mapping[str, tuple[str, ...]]
    left_out: tuple[str, ...] = ()
    weights: Mapping[str, float] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """The names of all pictures, test set by test set."""
        return [name for names in self.test_sets.values() for name in names]

    @property
    def inputs(self) -> list[str]:
        """All files."""
        return [*self.references.values(), *(path for files in self.files.values() for path in files.values())]


def parse_methods(given: Mapping[str, Place] | Iterable[str]) -> dict[str, str]:
    """Return methods as name -> folder or pattern.

    Args:
        given: Such a mapping, or texts: ``NAME=FOLDER``, or a folder, whose name is then the method's.

    Raises:
        CompareError: No method is given, a part is empty, or a name comes twice.
    """
    if isinstance(given, str | os.PathLike):
        given = [os.fspath(given)]
    pairs = list(given.items()) if isinstance(given, Mapping) else [_split(os.fspath(text)) for text in given]
    if not pairs:
        raise CompareError("no method is given: name some, as in --methods bicubic=out/bicubic ours=out/ours.")
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
    """Match the files of several methods, and their references, by name.

    Args:
        methods: Name -> folder or pattern.
        reference: Folder or pattern of the references.
        skip_missing: Leave out pictures that some method or the reference lacks, in place of an error.
        by_folder: Take the first sub-folder for the test set, if every picture lies in one.
        removed: Text that is removed from the names of the methods' pictures, such as ``'x4'``.
        average: As in :class:`~.protocols.Protocol`.

    Raises:
        CompareError: No picture is shared, one is missing somewhere, or a sub-folder has no weight.
        PairingError: A folder is missing or empty, or two of its images have one name.
    """
    files = {method: _without(removed, named_images(place)) for method, place in methods.items()}
    references = {} if reference is None else named_images(os.path.expanduser(os.fspath(reference)))
    everywhere = {**files, **({"the reference": references} if reference is not None else {})}
    union = list(dict.fromkeys(name for found in files.values() for name in found))
    shared = [name for name in union if all(name in found for found in everywhere.values())]
    if not shared:
        examples = "; ".join(f"{who} has {few(list(found)[:3])}" for who, found in everywhere.items())
        raise CompareError(
            f"no picture is in all of them ({examples}): give folders whose files have the same names, or patterns "
            "such as 'out/*_ours.png', which pair by what * matches."
        )
    missing = {who: [name for name in union if name not in found] for who, found in everywhere.items()}
    lines = [f"{who} lacks {few(names)}" for who, names in missing.items() if names]
    if lines and not skip_missing:
        raise CompareError(
            f"{len(union) - len(shared)} of {counted(len(union), 'picture')} are not everywhere ({'; '.join(lines)}): "
            "complete the folders, or leave these pictures out (skip_missing)."
        )
    left_out = [f"{line}: left out of all methods" for line in lines]
    if extra := [name for name in references if name not in union]:
        left_out.append(f"no method has {few(extra)} of the reference")
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
    folders = {name: name.partition("/")[0] if "/" in name else "" for name in names}
    counts = Counter(folders.values())
    weights = dict.fromkeys(counts, 1.0) if isinstance(average, str) else average
    if unknown := [folder for folder in counts if folder not in weights]:
        raise CompareError(f"the sub-folder {unknown[0]!r} has no weight: name it one of {', '.join(weights)}.")
    return {name: weights[folder] / counts[folder] for name, folder in folders.items()}
