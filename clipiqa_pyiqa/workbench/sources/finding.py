"""The images that a user's paths name, and those of a list on standard input."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

from ...checks import FilePath
from ...errors import ImageError, Kind
from ...text import first_of, log, shown
from ..images.image import File, Image
from .addresses import address_of, is_remote
from .found_sources import FoundSources
from .paths import each_of
from .picture_folders import check_pictures_outside
from .sampling import SAMPLING, Sampling
from .shards import Shard
from .stores import in_store


def find_sources(
    paths: Any,
    *,
    null_separated: bool = False,
    keep: Sequence[str] = (),
    image_column: str | None = None,
    has_archives: bool = True,
    sampling: str = SAMPLING,
) -> FoundSources:
    """Return the images and shards that paths name.

    A folder means its images, archives and videos, or else its Parquet files. A path may be a glob, a brace pattern
    (``{000..099}``, ``{a,b}``) or ``-``, names on standard input.

    Args:
        paths: A path, an address, an image, a shard, or several of these.
        null_separated: Names on standard input end with a NUL byte.
        has_archives: Also find archives and videos beside images.
        sampling: As for :func:`~clipiqa_pyiqa.score_paths`.

    Raises:
        ShardError: A store cannot be used.
    """
    Sampling.of(sampling)  # raises for another text
    shard_options = {"keep": tuple(keep), "image_column": image_column, "sampling": sampling}
    sources = FoundSources(has_archives, shard_options)
    for path in each_of(paths):
        if isinstance(path, Image | Shard):
            sources.sources.append(path)
        elif not isinstance(path, str | os.PathLike):
            raise ImageError(f"sources must be paths, images or shards; got {shown(path)}.")
        elif os.fspath(path) == "-":
            _add_names(sources, _names_on_standard_input(null_separated))
        else:
            name = address_of(path)
            if is_remote(name):
                _forget_listings(name)
            sources.add(name)
    return sources


def _forget_listings(address: str) -> None:
    """Let fsspec list a store anew in all threads, or a stamp could be that of an earlier listing."""
    with in_store(address) as (fs, _):
        fs.clear_instance_cache()


def _names_on_standard_input(null_separated: bool) -> list[str]:
    """Return the names that standard input lists; none if it is closed."""
    if sys.stdin is None:
        return []
    lines = sys.stdin.buffer.read().split(b"\0" if null_separated else b"\n")
    return [os.fsdecode(line.rstrip(b"\r")) for line in lines if line.strip()]


def _add_names(sources: FoundSources, names: Sequence[str]) -> None:
    """Add the names of a list, in which braces and wildcards mean themselves."""
    for name in names:
        sources.add_literal(name)
    if not names:
        sources.add_missing("-", "is a list on standard input, which is empty", Kind.EMPTY)


def tell_skipped(*searches: FoundSources) -> None:
    """Log how many photos in unreadable formats each search has skipped."""
    for sources in searches:
        if sources.note:
            log.info(sources.note)


def find_inputs(paths: Any, out: FilePath | None = None) -> list[str]:
    """Return the image files on this machine that paths name, and tell of skipped ones.

    Raises ``ImageError`` for other paths, and for none.

    Args:
        out: As ``folder`` of :func:`check_pictures_outside`.
    """
    paths = list(each_of(paths))
    check_pictures_outside(out, paths)
    sources = find_sources(paths, has_archives=False)
    tell_skipped(sources)
    problems = _problems_of_inputs(sources)
    if problems or not sources.sources:
        raise ImageError(f"{first_of(problems) or 'there are no images'}: name images or folders of images.")
    return sources.paths


def _problems_of_inputs(sources: FoundSources) -> list[str]:
    """Return why paths name no image files on this machine, a sentence for each such path."""
    names = [source.name for source in sources.sources if not isinstance(source, File)]
    other_names = dict.fromkeys(name for name in names if name not in sources.problems)
    others = [f"{name!r} is not an image file or a folder on this machine" for name in other_names]
    return [*sources.problems.values(), *others]
