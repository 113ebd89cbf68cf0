"""Weights: which checkpoint a user means, what is known of it, and whether hash and architecture agree with that."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from ..checks import FilePath
from ..errors import OptionError, WeightsError
from ..files import remembered_sha256
from ..text import log, shown
from .architecture import check_architecture
from .checkpoint import open_checkpoint
from .clips import BACKBONES, canonical_backbone, published_clip, tags
from .copies import VARIABLE, Copy, Place, candidates, search, users_folder
from .metric_files import PYIQA_FILES, pyiqa_file
from .obtaining import obtained_file
from .published_file import PublishedFile


@dataclass(frozen=True, kw_only=True)
class Weights(PublishedFile):
    """A checkpoint that was found and checked, with its own hash, and what is known of it.

    For an unpublished file, the tag is ``'file'``, and the other facts are those of the file that was asked for: by
    default OpenAI's.
    """

    path: Path
    place: Place

    @property
    def short(self) -> str:
        """Tag and first digits of the hash: ``'openai afeb0e10'`` or ``'file mine.pt 1234abcd'``."""
        name = f"{self.tag} {self.path.name}" if self.tag == "file" else self.tag
        return f"{name} {self.sha256[:8]}"


def obtained_weights(
    backbone: str = "RN50", clip_weights: FilePath | None = None, quick_gelu: bool | None = None
) -> Weights:
    """Find or download the weights of a backbone, and check hash and architecture; no tensor is read.

    Args:
        backbone: One of ``BACKBONES``; the spelling ``'vit-b-32'`` also works.
    """
    backbone = canonical_backbone(backbone)
    if clip_weights is None:
        weights = _obtained_published(published_clip(backbone), quick_gelu)
    elif _is_tag(clip_weights, backbone):
        weights = _obtained_published(published_clip(backbone, str(clip_weights)), quick_gelu)
    else:
        weights = _weights_in_file(clip_weights, backbone, quick_gelu)
    if weights.tag == "file" and quick_gelu is None:
        _warn_of_assumed_activation(weights)
    return weights


def _weights_in_file(clip_weights: FilePath, backbone: str, quick_gelu: bool | None) -> Weights:
    """Return the weights in a file that a user names."""
    if not isinstance(clip_weights, (str, os.PathLike)):
        raise OptionError(
            f"clip_weights must be a path or a tag of open_clip; got {shown(clip_weights)}.",
            options=("clip_weights",),
        )
    path = Path(clip_weights).expanduser()
    if not path.is_file():
        raise WeightsError(
            f"clip_weights={str(clip_weights)!r} does not exist or is a folder: pass a file or a tag of open_clip.",
            options=("clip_weights",),
        )
    copy = Copy(path, Place.GIVEN, remembered_sha256(path))
    recognised = recognise(path, copy.sha256)
    if recognised is None or recognised.backbone != backbone:
        return _unpublished_weights(copy, published_clip(backbone), quick_gelu)
    return checked_weights(copy, recognised, quick_gelu)


def _is_tag(clip_weights: FilePath, backbone: str) -> bool:
    """Return whether a user means a tag: a word without a suffix that is a known tag, or no file."""
    if not isinstance(clip_weights, str) or "/" in clip_weights or Path(clip_weights).suffix:
        return False
    return clip_weights in tags(backbone) or not Path(clip_weights).exists()


def recognise(path: Path, sha256: str) -> PublishedFile | None:
    """Return the published CLIP that has this hash or this place in the hub's cache, or None."""
    for backbone in BACKBONES:
        for tag in tags(backbone):
            published = published_clip(backbone, tag)
            is_in_hub_cache = published.hub_folder.name in path.absolute().parts
            if is_in_hub_cache or sha256.startswith(published.hashes):
                return published
    return None


def _obtained_published(published: PublishedFile, quick_gelu: bool | None) -> Weights:
    """Find or download a published file, and return its weights."""
    # a copy in the user's folder may be an unpublished file, for which the option is allowed
    if quick_gelu not in (None, published.quick_gelu) and search(published).copy is None:
        check_activation(published, quick_gelu)  # raises before a download
    return weights_by_name(obtained_file(published), published, quick_gelu)


def weights_by_name(copy: Copy, published: PublishedFile, quick_gelu: bool | None = None) -> Weights:
    """Return the weights in a file that has a published file's name; in the user's folder its hash decides."""
    if copy.place is not Place.USERS_FOLDER or copy.sha256.startswith(published.hashes):
        return checked_weights(copy, published, quick_gelu)
    recognised = recognise(copy.path, copy.sha256)
    if recognised is not None and recognised.backbone == published.backbone:
        raise WeightsError(
            f"{copy.path} is {recognised.title}, not {published.title}: pass clip_weights={recognised.tag!r}, or "
            "rename the file.",
            options=("clip_weights",),
        )
    return _unpublished_weights(copy, published, quick_gelu)


def _unpublished_weights(copy: Copy, like: PublishedFile, quick_gelu: bool | None) -> Weights:
    """Return the weights in a file whose hash is not known; what is not given is as in the published file ``like``."""
    has_quick_gelu = like.quick_gelu if quick_gelu is None else quick_gelu
    return checked_weights(copy, replace(like, tag="file", quick_gelu=has_quick_gelu))


def _warn_of_assumed_activation(weights: Weights) -> None:
    """Log which activation is assumed of an unpublished file."""
    assumed, other = ("QuickGELU", "GELU") if weights.quick_gelu else ("GELU", "QuickGELU")
    log.warning(
        f"{weights.path} is not a published file: {assumed} is assumed; if its model uses {other}, "
        f"switch QuickGELU {'off' if weights.quick_gelu else 'on'}."
    )


def check_activation(published: PublishedFile, quick_gelu: bool | None) -> None:
    """Raise WeightsError if an option contradicts a published file."""
    if quick_gelu is not None and quick_gelu != published.quick_gelu:
        raise WeightsError(
            f"quick_gelu={quick_gelu} contradicts {published.title}, which was trained "
            f"{'with' if published.quick_gelu else 'without'} QuickGELU: leave quick_gelu out.",
            options=("quick_gelu",),
        )


def checked_weights(copy: Copy, published: PublishedFile, quick_gelu: bool | None = None) -> Weights:
    """Return the weights in a copy of a published file; raise WeightsError if its architecture is another."""
    check_activation(published, quick_gelu)
    check_architecture(open_checkpoint(copy.path), published.backbone)
    facts = {**vars(published), "sha256": copy.sha256}
    return Weights(path=copy.path, place=copy.place, **facts)


def is_same_release(weights: Weights, sha256: str) -> bool:
    """Return whether a hash is that of these weights, or of the same published weights in another file format."""
    if sha256 == weights.sha256:
        return True
    published = () if weights.tag == "file" else published_clip(weights.backbone, weights.tag).hashes
    return weights.sha256.startswith(published) and sha256.startswith(published)


def found_again(weights: Weights) -> Weights:
    """Return weights that another process pickled; the file on this machine must have the same hash."""
    for path, place in _places_of_pickled(weights):
        if path.is_file() and remembered_sha256(path) == weights.sha256:
            return replace(weights, path=path, place=place)
    raise WeightsError(
        f"this metric was pickled with {weights.backbone}, {weights.short} ({weights.path}), and no file with that "
        f"SHA-256 is there or in a folder of weights: put the file there, or into the folder that {VARIABLE} names."
    )


def _places_of_pickled(weights: Weights) -> Iterator[tuple[Path, Place]]:
    """Yield the places where weights that another process found may be on this machine."""
    yield weights.path, weights.place
    folder = users_folder()
    if folder is not None:
        yield folder / weights.path.name, Place.USERS_FOLDER
    if weights.tag in PYIQA_FILES:
        published = pyiqa_file(weights.tag)
    elif weights.tag == "file":
        return
    else:
        published = published_clip(weights.backbone, weights.tag)
    for candidate in candidates(published):
        yield candidate.path, candidate.place
