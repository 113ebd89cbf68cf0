"""Images of several methods, matched by name within test sets."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from pandas import DataFrame, Series

from ...checks import FilePath
from ...errors import CLIPIQAError
from ...files import FileHashes
from ...text import few, printable
from ..files.names_and_values import name_and_value
from ..names.folder_images import images_by_name
from ..names.shared_names import shared_names, with_lost_sets_as_one
from .protocols import NO_PROTOCOL, Protocol

REFERENCE = "the reference"


@dataclass(frozen=True)
class MethodImages:
    """The images of several methods, matched by name.

    Attributes:
        files: A row per image, a column per method.
        test_sets: Image -> test set; a single test set is called ``''``.
        weights: Image -> weight in means; None if equal.
        hashes: SHA-256 of files that were asked for, so that trials of a table do not read them again.
    """

    files: DataFrame
    test_sets: Series
    references: Mapping[str, str]
    left_out: Sequence[str] = ()
    weights: Series | None = None
    hashes: FileHashes = field(default_factory=FileHashes, compare=False, repr=False)

    @property
    def inputs(self) -> list[str]:
        return [*self.references.values(), *self.files.to_numpy().ravel()]


def parse_methods(methods: Mapping[str, FilePath] | Iterable[str]) -> dict[str, str]:
    """Return method -> folder or pattern, from a mapping or from texts ``NAME=FOLDER``."""
    if isinstance(methods, Mapping):
        names_and_places: list[tuple[str, FilePath]] = list(methods.items())
    else:
        names_and_places = [name_and_value(text) for text in methods]
    folders = dict[str, str]()
    for typed_name, place in names_and_places:
        name = printable(typed_name)
        if not name or not place:
            typed_text = f"{name}={place}" if place else name
            raise CLIPIQAError(f"a method must be NAME=FOLDER, as in ours=out/ours; got {typed_text!r}.")
        if name == "reference":
            raise CLIPIQAError("'reference' names the reference images: give the method another name.")
        if name in folders:
            raise CLIPIQAError(f"two methods are called {name!r}: rename one, as in 'ours2={place}'.")
        folders[name] = os.path.expanduser(place)
    if not folders:
        raise CLIPIQAError(
            "no method is given: name at least one with methods, such as ours=out/ours.", options=("methods",)
        )
    return folders


def match_images(
    methods: Mapping[str, str],
    reference: FilePath | None = None,
    protocol: Protocol = NO_PROTOCOL,
    *,
    skip_missing: bool = False,
) -> MethodImages:
    """Return the images of several methods, matched by name; options as in ``table`` and ``Protocol``."""
    files_by_method = {method: _without(protocol.removed, images_by_name(place)) for method, place in methods.items()}
    extra = list[str]()
    if reference is not None:
        names = {name for files in files_by_method.values() for name in files}
        references = images_by_name(os.path.expanduser(reference))
        extra = with_lost_sets_as_one([name for name in references if name not in names], names)
        files_by_method[REFERENCE] = {name: path for name, path in references.items() if name in names}
    shared = shared_names(files_by_method, skip_missing)
    left_out = [f"{note}: left out of all methods." for note in shared.notes]
    if extra:
        left_out.append(f"no method has {few(extra)}, which the reference has.")
    files = shared.files[list(methods)]
    paths = files.stack()
    paths_of_two = paths[paths.duplicated()]
    if len(paths_of_two):
        raise CLIPIQAError(f"two methods have the same image {paths_of_two.iloc[0]!r}: name each folder once.")
    folders = Series([name.partition("/")[0] if "/" in name else "" for name in files.index], files.index)
    has_equal_weights = protocol.average == "images"
    return MethodImages(
        files,
        folders if has_equal_weights and all(folders) else Series("", files.index),
        dict(shared.files.get(REFERENCE, ())),
        left_out,
        None if has_equal_weights else _weights(folders, protocol.average),
    )


def _without(removed: str, files: Mapping[str, str]) -> dict[str, str]:
    """Return name -> file, with a text removed from the names."""
    renamed = {name.replace(removed, ""): path for name, path in files.items()}
    if len(renamed) < len(files):
        raise CLIPIQAError(f"two images have the same name without {removed!r}: rename one of them.")
    return renamed


def _weights(folders: Series, average: str | Mapping[str, float]) -> Series:
    """Return image -> weight; the images of a folder share its weight."""
    weights = dict.fromkeys(folders, 1.0) if isinstance(average, str) else average
    unknown = set(folders) - weights.keys()
    if unknown:
        raise CLIPIQAError(f"the sub-folder {min(unknown)!r} has no weight: rename it to one of {', '.join(weights)}.")
    return folders.map(weights) / folders.map(folders.value_counts())
