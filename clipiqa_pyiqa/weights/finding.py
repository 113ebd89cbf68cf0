"""Weights and other published files: found on this machine, or downloaded, and checked by their hashes."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from huggingface_hub import constants

from ..checks import FilePath
from ..errors import WeightsError
from ..files.reading import sha256_of
from ..logger import log
from .checkpoint import check_architecture, open_checkpoint
from .names import BACKBONES, PublishedFile, canonical_backbone, release, tags

VARIABLE = "CLIPIQA_WEIGHTS_DIR"


@dataclass(frozen=True, kw_only=True)
class Weights(PublishedFile):
    """A checkpoint that was found and checked, with its own hash, and what is known of it.

    For an unpublished file, the tag is ``'file'``, and the other facts are those of the file that was asked for: by
    default OpenAI's.
    """

    path: Path
    source: str  # the place where it was found

    @property
    def short(self) -> str:
        """Tag and first digits of the hash: ``'openai afeb0e10'`` or ``'file mine.pt 1234abcd'``."""
        name = f"{self.tag} {self.path.name}" if self.tag == "file" else self.tag
        return f"{name} {self.sha256[:8]}"


class Copy(NamedTuple):
    """A file on this machine."""

    path: Path
    source: str  # the place where it was found
    sha256: str


class Candidate(NamedTuple):
    """A file that may be a copy of a published file."""

    path: Path
    source: str  # the place where it was found
    hashes: tuple[str, ...]  # that are accepted, or their first digits; with none, any file is accepted


def find_weights(
    backbone: str = "RN50", clip_weights: FilePath | None = None, quick_gelu: bool | None = None
) -> Weights:
    """Return the weights of a backbone after checking hash and architecture; no tensor is read.

    Args:
        backbone: One of ``BACKBONES``; the spelling ``'vit-b-32'`` also works.
    """
    backbone = canonical_backbone(backbone)
    if clip_weights is None:
        return _published_weights(release(backbone), quick_gelu)
    if _is_tag(clip_weights, backbone):
        return _published_weights(release(backbone, str(clip_weights)), quick_gelu)
    path = Path(clip_weights).expanduser()
    if not path.is_file():
        raise WeightsError(
            f"{{clip_weights}}={str(clip_weights)!r} does not exist or is a folder: pass a file or a tag of open_clip.",
            options=("clip_weights",),
        )
    copy = Copy(path, "given path", sha256_of(path))
    recognised = recognise(path, copy.sha256)
    if recognised is None or recognised.backbone != backbone:
        return _unpublished_weights(copy, release(backbone), quick_gelu)
    return weights_in(copy, recognised, quick_gelu)


def _is_tag(clip_weights: FilePath, backbone: str) -> bool:
    """Return whether a user means a tag: a word without a suffix that is a known tag, or no file."""
    if not isinstance(clip_weights, str) or "/" in clip_weights or Path(clip_weights).suffix:
        return False
    return clip_weights in tags(backbone) or not Path(clip_weights).exists()


def recognise(path: Path, sha256: str) -> PublishedFile | None:
    """Return the published CLIP that has this hash or this place in the hub's cache, or None."""
    for backbone in BACKBONES:
        for tag in tags(backbone):
            published = release(backbone, tag)
            is_in_hub_cache = published.hub_folder.name in path.absolute().parts
            if is_in_hub_cache or sha256.startswith(published.hashes):
                return published
    return None


def _published_weights(published: PublishedFile, quick_gelu: bool | None) -> Weights:
    if quick_gelu not in (None, published.quick_gelu) and find_good_copy(published) is None:
        check_activation(published, quick_gelu)  # raises before a download
    return weights_named(find_file(published), published, quick_gelu)


def weights_named(copy: Copy, published: PublishedFile, quick_gelu: bool | None = None) -> Weights:
    """Return the weights in a file that has a published file's name; in the user's folder its hash decides."""
    if copy.source != VARIABLE or copy.sha256.startswith(published.hashes):
        return weights_in(copy, published, quick_gelu)
    recognised = recognise(copy.path, copy.sha256)
    if recognised is not None and recognised.backbone == published.backbone:
        raise WeightsError(
            f"{copy.path} is {recognised.title}, not {published.title}: pass {{clip_weights}}={recognised.tag!r}, or "
            "rename the file.",
            options=("clip_weights",),
        )
    return _unpublished_weights(copy, published, quick_gelu)


def _unpublished_weights(copy: Copy, like: PublishedFile, quick_gelu: bool | None) -> Weights:
    """Return the weights in a file whose hash is not known; what is not given is as in the published file ``like``."""
    if quick_gelu is not None:
        return weights_in(copy, replace(like, tag="file", quick_gelu=quick_gelu))
    weights = weights_in(copy, replace(like, tag="file"))
    assumed, other = ("QuickGELU", "GELU") if like.quick_gelu else ("GELU", "QuickGELU")
    log.warning(
        f"{copy.path} is not a published file: {assumed} is assumed; if its model uses {other}, "
        f"switch QuickGELU {'off' if like.quick_gelu else 'on'}."
    )
    return weights


def check_activation(published: PublishedFile, quick_gelu: bool | None) -> None:
    """Raise WeightsError if an option contradicts a published file."""
    if quick_gelu is not None and quick_gelu != published.quick_gelu:
        raise WeightsError(
            f"{{quick_gelu}}={quick_gelu} contradicts {published.title}, which was trained "
            f"{'with' if published.quick_gelu else 'without'} QuickGELU: leave {{quick_gelu}} out.",
            options=("quick_gelu",),
        )


def weights_in(copy: Copy, published: PublishedFile, quick_gelu: bool | None = None) -> Weights:
    """Return the weights in a copy of a published file; raise WeightsError if its architecture is another."""
    check_activation(published, quick_gelu)
    check_architecture(open_checkpoint(copy.path), published.backbone)
    return Weights(**(vars(published) | copy._asdict()))


def is_same_release(weights: Weights, sha256: str) -> bool:
    """Return whether a hash is that of these weights, or of the same published weights in another file format."""
    if sha256 == weights.sha256:
        return True
    published = () if weights.tag == "file" else release(weights.backbone, weights.tag).hashes
    return weights.sha256.startswith(published) and sha256.startswith(published)


def found_again(weights: Weights) -> Weights:
    """Return weights that another process pickled; the file on this machine must have the same hash."""
    folder = Path(os.environ.get(VARIABLE) or ".").expanduser()
    for path in (weights.path, folder / weights.path.name):
        if path.is_file() and sha256_of(path) == weights.sha256:
            return replace(weights, path=path)
    raise WeightsError(
        f"this metric was pickled with {weights.backbone}, {weights.short} ({weights.path}), and no file with that "
        f"SHA-256 is on this machine: put the file there, or into the folder that {VARIABLE} names."
    )


def find_file(file: PublishedFile) -> Copy:
    """Return the first good copy of a published file on this machine, downloaded if there is none."""
    copy = find_good_copy(file)
    if copy is not None:
        return copy
    places = download_places(file)
    if not places:
        raise WeightsError(f"{file.title}, a part of clipiqa-pyiqa, is missing or damaged: install the package again.")
    if constants.HF_HUB_OFFLINE:
        raise _not_downloaded(file, ["HF_HUB_OFFLINE is set"])
    failures = list[str]()
    for place in places:
        log.warning(f"Downloading {file.title} from {place} …")  # a warning, since a download may take minutes
        try:
            path = _downloaded(file, place)
            return Copy(path, "download", sha256_of(path))
        except Exception as error:  # the hub's client raises many kinds of errors; the message below lists all
            failures.append(f"{urlsplit(place).netloc}: {' '.join((str(error) or repr(error)).split())[:200]}")
    raise _not_downloaded(file, failures)


def download_places(file: PublishedFile) -> list[str]:
    """Return the addresses to download a file from, the hub's repository first."""
    repositories = [f"{constants.ENDPOINT}/{file.hub}"] if file.hub else []
    return [*repositories, *file.urls]


def _downloaded(file: PublishedFile, place: str) -> Path:
    """Download a file from one of its places, and return its path."""
    from .download import download_from_hub, download_from_url  # loads the hub's client

    if place not in file.urls:
        return download_from_hub(file)
    return download_from_url(place, file.caches[-1] / place.rpartition("/")[2], file.sha256)


def _not_downloaded(file: PublishedFile, failures: list[str]) -> WeightsError:
    """Return the error that says what to do without a file."""
    from huggingface_hub import hf_hub_url  # loads the hub's client

    address = hf_hub_url(file.hub, file.hub_names[0], revision=file.revision or None) if file.hub else file.urls[0]
    advice = (
        "to try clipiqa, use {backbone}=mini, the small CLIP in this package, or name a file by {clip_weights}=PATH"
        if file.backbone
        else "name a file of your own instead"
    )
    return WeightsError(
        f"{file.title} is not on this machine and could not be downloaded ({'; '.join(failures)}): {advice}.\n"
        f"The file is at {address}: save it as {file.caches[-1] / file.names[0]}, or under that name in the folder "
        f"that {VARIABLE} names. Where the hub is blocked, set HF_ENDPOINT to a mirror, such as https://hf-mirror.com.",
        options=("backbone", "clip_weights"),
    )


def find_good_copy(file: PublishedFile) -> Copy | None:
    """Return the first good copy on this machine; raise WeightsError if the copy in the user's folder is damaged."""
    for path, source, expected in candidates(file):
        sha256 = sha256_of(path)
        if not expected or sha256.startswith(expected):
            return Copy(path, source, sha256)
        hashes = " or ".join(f"{start[:8]}…" for start in expected)
        # The real path, not the hub's link: if a user deletes only the link, the hub links the same file again.
        problem = f"{path.resolve()} is damaged or another file: its SHA-256 is {sha256[:8]}…, not {hashes}"
        if source == VARIABLE:
            raise WeightsError(f"{problem}; copy it again, or delete the file.")
        log.warning(f"{problem}; this copy is not used: delete the file.")
    return None


def candidates(file: PublishedFile) -> Iterator[Candidate]:
    """Yield the files on this machine that may be copies, in the order in which they are preferred."""
    can_be_downloaded = bool(download_places(file))
    user_folder = os.environ.get(VARIABLE)
    if user_folder and can_be_downloaded:
        yield from _candidates_of_user(file, _look_for_folder(user_folder))
    yield from _candidates_in_hub_cache(file)
    source = "cache" if can_be_downloaded else "this package"
    for folder in file.caches:
        for name in file.names:
            path = folder / name
            if path.is_file():
                yield Candidate(path, source, file.hashes)


def _candidates_of_user(file: PublishedFile, folder: Path) -> Iterator[Candidate]:
    for name in file.names:
        path = folder / name
        if path.is_file():
            # Users convert weights to .safetensors; with an unknown hash, they count as unpublished.
            yield Candidate(path, VARIABLE, () if path.suffix == ".safetensors" else file.hashes)


def _candidates_in_hub_cache(file: PublishedFile) -> Iterator[Candidate]:
    for name in file.hub_names:
        for path in sorted(file.hub_folder.glob(f"snapshots/*/{name}")):
            blob = path.readlink().name if path.is_symlink() else ""
            expected = file.hub_hash(name, blob)
            yield Candidate(path, "hub cache", (expected,) if expected else ())


@cache
def _look_for_folder(name: str) -> Path:
    """Return the user's folder of weights; warn once if it is not a folder."""
    folder = Path(name).expanduser()
    if not folder.is_dir():
        log.warning(f"{VARIABLE} names {folder}, which is no folder: it is left out.")
    return folder
