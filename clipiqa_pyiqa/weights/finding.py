"""Weights: from the name that a user gives to a file, found or downloaded, whose hash and tensors are checked."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import torch
from huggingface_hub import constants

from ..checks import FilePath
from ..errors import WeightsError
from ..files import remembered_sha256
from ..text import log, reason_of
from .checkpoint import Checkpoint, open_checkpoint
from .published import (
    BACKBONES,
    BUNDLED,
    PYIQA_FILES,
    PublishedFile,
    canonical_backbone,
    published_clip,
    pyiqa_file,
    tags,
)

VARIABLE = "CLIPIQA_WEIGHTS_DIR"  # names the user's folder of weights; also how that place is called
GIVEN, PACKAGE = "given path", "this package"  # places whose files count otherwise than those of caches
# Last parts of names of tensors that only some checkpoints hold; no feature depends on these tensors.
_BOOKKEEPING = {
    "input_resolution",
    "context_length",
    "vocab_size",
    "num_batches_tracked",
    "attn_mask",
    "prompts_features",
}


class Copy(NamedTuple):
    """A file on this machine: where it is, how users call that place, such as 'hub cache', and its hash."""

    path: Path
    place: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Weights(PublishedFile):
    """A checkpoint that was found and checked, with its own hash, and what is known of it.

    For an unpublished file, the tag is ``'file'``, and the other facts are those of the file that was asked for: by
    default OpenAI's.
    """

    path: Path
    place: str

    @property
    def short(self) -> str:
        """Tag and first digits of the hash: ``'openai afeb0e10'`` or ``'file mine.pt 1234abcd'``."""
        name = f"{self.tag} {self.path.name}" if self.tag == "file" else self.tag
        return f"{name} {self.sha256[:8]}"


# From a name to weights


def obtained_weights(
    backbone: str = "RN50", clip_weights: FilePath | None = None, quick_gelu: bool | None = None
) -> Weights:
    """Find or download the weights of a backbone, and check hash and architecture; no tensor is read.

    Args:
        backbone: One of ``BACKBONES``; the spelling ``'vit-b-32'`` also works.
        clip_weights: A file, or a tag of open_clip; default OpenAI's published file.
        quick_gelu: Whether the model of an unpublished file uses QuickGELU; default as in the published file.

    Raises ``WeightsError`` if the weights are not found, are damaged, or belong to another backbone, and if
    ``quick_gelu`` contradicts a published file.
    """
    backbone = canonical_backbone(backbone)
    if clip_weights is None or _is_tag(clip_weights, backbone):
        published = published_clip(backbone, str(clip_weights or ""))
        copy = search(published)
        if copy is None:
            _check_activation(published, quick_gelu)  # raises before a download
            copy = _downloaded(published)
    else:
        published = published_clip(backbone)
        path = Path(str(clip_weights)).expanduser()
        if not path.is_file():
            raise WeightsError(
                f"clip_weights={str(clip_weights)!r} does not exist or is a folder: pass a file or a tag of open_clip.",
                options=("clip_weights",),
            )
        copy = Copy(path, GIVEN, remembered_sha256(path))
    weights = recognised_weights(copy, published, quick_gelu)
    if weights.tag == "file" and quick_gelu is None:
        assumed, other, switch = ("QuickGELU", "GELU", "off") if weights.quick_gelu else ("GELU", "QuickGELU", "on")
        log.warning(
            f"{weights.path} is not a published file: {assumed} is assumed; if its model uses {other}, "
            f"switch QuickGELU {switch}."
        )
    return weights


def _is_tag(clip_weights: FilePath, backbone: str) -> bool:
    """Return whether a user means a tag: a word without a suffix that is a known tag, or no file."""
    if not isinstance(clip_weights, str) or "/" in clip_weights or Path(clip_weights).suffix:
        return False
    return clip_weights in tags(backbone) or not Path(clip_weights).exists()


def recognised_weights(copy: Copy, published: PublishedFile, quick_gelu: bool | None = None) -> Weights:
    """Return the weights in a copy of a published file; of a user's file, its hash decides what it is.

    An unpublished file has the facts of ``published``, but for its tag, and for ``quick_gelu`` if it is given.
    """
    if copy.place in (GIVEN, VARIABLE) and not copy.sha256.startswith(published.hashes):
        recognised = recognise(copy.path, copy.sha256)
        if recognised is None or recognised.backbone != published.backbone:
            has_quick_gelu = published.quick_gelu if quick_gelu is None else quick_gelu
            published = replace(published, tag="file", quick_gelu=has_quick_gelu)
        elif copy.place == GIVEN:
            published = recognised
        else:  # under another file's name
            raise WeightsError(
                f"{copy.path} is {recognised.title}, not {published.title}: pass clip_weights={recognised.tag!r}, or "
                "rename the file.",
                options=("clip_weights",),
            )
    return checked_weights(copy, published, quick_gelu)


def recognise(path: Path, sha256: str) -> PublishedFile | None:
    """Return the published CLIP that has this hash or this place in the hub's cache, or None."""
    for backbone in BACKBONES:
        for tag in tags(backbone):
            published = published_clip(backbone, tag)
            is_in_hub_cache = published.hub_folder.name in path.absolute().parts
            if is_in_hub_cache or sha256.startswith(published.hashes):
                return published
    return None


def checked_weights(copy: Copy, published: PublishedFile, quick_gelu: bool | None = None) -> Weights:
    """Return the weights in a copy of a published file; raise WeightsError if its architecture is another."""
    _check_activation(published, quick_gelu)
    check_architecture(open_checkpoint(copy.path), published.backbone)
    return Weights(**{**vars(published), **copy._asdict()})


def _check_activation(published: PublishedFile, quick_gelu: bool | None) -> None:
    """Raise WeightsError if an option contradicts a published file."""
    if quick_gelu is not None and quick_gelu != published.quick_gelu:
        raise WeightsError(
            f"quick_gelu={quick_gelu} contradicts {published.title}, which was trained "
            f"{'with' if published.quick_gelu else 'without'} QuickGELU: leave quick_gelu out.",
            options=("quick_gelu",),
        )


def check_architecture(checkpoint: Checkpoint, backbone: str) -> None:
    """Raise WeightsError if a checkpoint lacks tensors of a backbone, or has others or others' shapes.

    Of mini, only one name is looked for: its tower checks the rest when it is made.
    """
    if backbone == "mini":
        differing = {"visual.stem.weight"} - checkpoint.keys()
    else:
        differing = {name for name, _ in checkpoint.shapes.items() ^ shapes_of(backbone).items()}
    names = sorted(name for name in differing if name.rpartition(".")[2] not in _BOOKKEEPING)
    if names:
        raise WeightsError(
            f"{checkpoint.path} is not a complete {backbone} checkpoint: {len(names)} tensors are missing, unknown or "
            f"of another shape, such as {names[0]}; pass the file's own backbone, or another file."
        )


@functools.cache
def shapes_of(backbone: str) -> Mapping[str, tuple[int, ...]]:
    """Return the shapes of a backbone's tensors in open_clip, by name."""
    import open_clip  # the import takes seconds

    with torch.device("meta"):
        model = open_clip.CLIP(**open_clip.get_model_config(backbone.replace("/", "-")))
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


# The same weights again


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


def _places_of_pickled(weights: Weights) -> Iterator[tuple[Path, str]]:
    """Yield the places where weights that another process found may be, the cheapest to look at first."""
    yield weights.path, weights.place
    folder = _users_folder()
    if folder is not None:
        yield folder / weights.path.name, VARIABLE
    if weights.tag != "file":
        is_pyiqas = weights.tag in PYIQA_FILES
        published = pyiqa_file(weights.tag) if is_pyiqas else published_clip(weights.backbone, weights.tag)
        for path, place, _ in _candidates(published):
            yield path, place


# A published file on this machine


def obtained_file(file: PublishedFile) -> Copy:
    """Find the first good copy of a published file on this machine, or download it; log what is left out or slow."""
    return search(file) or _downloaded(file)


def _downloaded(file: PublishedFile) -> Copy:
    """Download a published file from the first of its addresses that has it."""
    from .download import download_from_hub, download_from_url  # loads the hub's client

    failures = ["HF_HUB_OFFLINE is set"] if constants.HF_HUB_OFFLINE else []
    addresses = [] if failures else file.addresses
    for address in addresses:
        log.warning(f"Downloading {file.title} from {address} …")  # a warning, since a download may take minutes
        try:
            if address in file.urls:
                path = download_from_url(address, file.caches[-1] / address.rpartition("/")[2], file.sha256)
            else:
                path = download_from_hub(file)
            return Copy(path, "download", remembered_sha256(path))
        except Exception as error:  # the hub's client raises many kinds of errors; the message below lists all
            failures.append(f"{urlsplit(address).netloc}: {reason_of(error)[:200]}")
    raise _not_downloaded(file, failures)


def _not_downloaded(file: PublishedFile, failures: list[str]) -> WeightsError:
    """Return the error that says what to do without a file."""
    from huggingface_hub import hf_hub_url  # loads the hub's client

    address = hf_hub_url(file.hub, file.hub_names[0], revision=file.revision or None) if file.hub else file.urls[0]
    advice = (
        "to try clipiqa, use backbone=mini, the small CLIP in this package, or name a file by clip_weights=PATH"
        if file.backbone
        else "name a file of your own instead"
    )
    return WeightsError(
        f"{file.title} is not on this machine and could not be downloaded ({'; '.join(failures)}): {advice}.\n"
        f"The file is at {address}: save it as {file.caches[-1] / file.names[0]}, or under that name in the folder "
        f"that {VARIABLE} names. Where the hub is blocked, set HF_ENDPOINT to a mirror, such as https://hf-mirror.com.",
        options=("backbone", "clip_weights"),
    )


def search(file: PublishedFile) -> Copy | None:
    """Return the first good copy of a file on this machine; log the damaged copies that come before it.

    Raises ``WeightsError`` if the copy in the user's folder or in this package is damaged.
    """
    for path, place, expected in _candidates(file):
        sha256 = remembered_sha256(path)
        if not expected or sha256.startswith(expected):
            return Copy(path, place, sha256)
        hashes = " or ".join(f"{start[:8]}…" for start in expected)
        # The real path, not the hub's link: if a user deletes only the link, the hub links the same file again.
        problem = f"{path.resolve()} is damaged or another file: its SHA-256 is {sha256[:8]}…, not {hashes}"
        if place in (VARIABLE, PACKAGE):
            raise WeightsError(f"{problem}; copy it again, or delete the file.")
        log.warning(f"{problem}; this copy is not used: delete the file.")
    return None


def _candidates(file: PublishedFile) -> Iterator[tuple[Path, str, tuple[str, ...]]]:
    """Yield the files on this machine that may be copies, those that are preferred first.

    Each comes with its place and with the hashes, or their first digits, that it may have; with none, it may have any.
    """
    if file.tag == BUNDLED:
        yield file.caches[0] / file.names[0], PACKAGE, file.hashes
        return
    folder = _users_folder()
    if folder is not None:
        for name in file.names:
            if (folder / name).is_file():
                # Users convert weights to .safetensors; with an unknown hash, they count as unpublished.
                yield folder / name, VARIABLE, () if name.endswith(".safetensors") else file.hashes
    for name in file.hub_names:
        for path in sorted(file.hub_folder.glob(f"snapshots/*/{name}")):
            known = file.hub_sha256 if name == file.hub_names[0] else ""
            blob = path.readlink().name if path.is_symlink() else ""  # the hub names large files by their SHA-256
            expected = known or (blob if re.fullmatch("[0-9a-f]{64}", blob) else "")
            yield path, "hub cache", (expected,) if expected else ()
    for cache in file.caches:
        for name in file.names:
            if (cache / name).is_file():
                yield cache / name, "cache", file.hashes


def _users_folder() -> Path | None:
    """Return the folder of weights that the user names, or None; one that is not there is warned of once."""
    name = os.environ.get(VARIABLE)
    if not name:
        return None
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    _warn_of_folder(folder)
    return None


@functools.cache
def _warn_of_folder(folder: Path) -> None:
    log.warning(f"{VARIABLE} names {folder}, which is not a folder and is ignored.")
