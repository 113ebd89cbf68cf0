"""What is published: CLIP weights by open_clip's tags, and our own small CLIP.

Nothing here touches disk or network. Names, URLs, hashes, QuickGELU and pixel normalisation are open_clip's own, so
that there is no second table to go stale.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import open_clip
import torch
from open_clip.pretrained import is_pretrained_cfg

from ..errors import WeightsError, nearest
from .architecture import BACKBONES, open_clip_name
from .download import MOST_BYTES
from .hub import PINNED, SIZES

OPENAI = "openai"
BUNDLED = "bundled"
"""The tag of the one file inside this package."""
MINI_FILE = Path(__file__).parents[1] / "data" / "mini.safetensors"
MINI_SHA256 = "2e6886e268e7fb0be515a933ca0d743793091de36b85ccef5dd7cee2c0271b0b"
FORMER_MINI = {"adf182cc260bae2b13e8449d99ed3fbdfa582676ccade1df82e87b880b52a0fd": "first"}
"""SHA-256 of each former edition of that file, and which it was: what was made with it does not fit the present one."""
MIRRORS = {"RN50 (openai)": "https://github.com/photosynthesis-team/piq/releases/download/v0.7.1/RN50.pt"}
"""Copies of OpenAI's files elsewhere, by title; safe since the hash is known."""
_OTHER_FORMAT = 16 << 20  # bytes that a pickle of the same tensors may have more than the file whose size is known
_HUB_NAMES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")  # open_clip tries them in this order


@dataclass(frozen=True)
class PublishedFile:
    """A file that somebody publishes: its names, where it can come from, and its hash.

    Attributes:
        title: What it is, in words.
        name: The file's name at its URL, which is also its name in caches.
        sha256: SHA-256 of the file at the URL, or its first eight digits; empty if its publisher gives none.
        folder_names: Names to look for in a folder of weights, best first.
        caches: Where other tools keep it: what the place is called, and the path.
        download_path: Where a download from a URL is put: one of the caches.
        urls: Where to download it, best first, if ``hub`` cannot give it.
        hub: Its repository on the hub, if it has one.
        hub_names: Its names in that repository, best first.
        revision: Which revision of that repository is meant; empty for ``main``.
        hub_sha256: SHA-256 of the first of these names there, or its first eight digits; empty if unknown.
        bundled: Whether it is part of this package.
        most: Bytes that it can have at most.
        argument: The argument by which a user can pass a file instead.
    """

    title: str
    name: str
    sha256: str
    folder_names: tuple[str, ...]
    caches: tuple[tuple[str, Path], ...]
    download_path: Path
    urls: tuple[str, ...]
    hub: str = ""
    hub_names: tuple[str, ...] = ()
    revision: str = ""
    hub_sha256: str = ""
    argument: str = "clip_weights"
    bundled: bool = False
    most: int = MOST_BYTES

    def folder_name(self, copy: Path) -> str:
        """The name under which a folder of weights keeps a copy: its own if it is well known, else by its format."""
        if copy.name in self.folder_names:
            return copy.name
        suffix = ".safetensors" if copy.suffix == ".safetensors" else ".pt"
        return next(name for name in self.folder_names if name.endswith(suffix))


@dataclass(frozen=True)
class Release:
    """CLIP weights that were published under a tag, with what belongs to them."""

    backbone: str
    tag: str
    quick_gelu: bool
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    file: PublishedFile


def tags(backbone: str) -> tuple[str, ...]:
    """The tags under which weights of a backbone are published, the usual one among them."""
    if backbone == "mini":
        return (BUNDLED,)
    return tuple(open_clip.list_pretrained_tags_by_model(open_clip_name(backbone)))


def usual_tag(backbone: str) -> str:
    """The tag that is meant where none is given: OpenAI's weights."""
    return BUNDLED if backbone == "mini" else OPENAI


def release(backbone: str, tag: str) -> Release:
    """The release of a backbone under a tag.

    Raises:
        WeightsError: If open_clip knows no such tag; the message names the nearest.
    """
    if (backbone, tag) == ("mini", BUNDLED):
        return _mini()
    model = open_clip_name(backbone)
    config = open_clip.get_pretrained_cfg(model, tag)
    if not config:
        raise WeightsError(
            f"{tag!r} is neither a file nor a tag of open_clip for {backbone}: expected a path or one of "
            f"{', '.join(tags(backbone))}; {nearest(tag, tags(backbone))}"
        )
    tag = tag.lower().replace("-", "_")  # as open_clip writes and compares them
    # OpenAI trained all of its models with QuickGELU; of the others, those listed under a -quickgelu model.
    quick_gelu = tag == OPENAI or is_pretrained_cfg(f"{model}-quickgelu", tag)
    mean = config.get("mean") or open_clip.OPENAI_DATASET_MEAN
    std = config.get("std") or open_clip.OPENAI_DATASET_STD
    return Release(backbone, tag, quick_gelu, mean, std, _clip_file(backbone, tag, config))


def former_mini(sha256: str) -> str | None:
    """Which former edition of mini, such as ``'first'``, these weights are by their hash; None if they are none."""
    return FORMER_MINI.get(sha256)


def recognise(path: Path, sha256: str) -> Release | None:
    """The release that a file is, by its hash or because it lies in that release's part of the hub cache."""
    for backbone in BACKBONES:
        for tag in tags(backbone):
            known = release(backbone, tag)
            hashes = tuple(filter(None, (known.file.sha256, known.file.hub_sha256)))
            by_hash = bool(hashes) and sha256.startswith(hashes)
            if by_hash or f"models--{known.file.hub.replace('/', '--')}" in path.absolute().parts:
                return known
    return None


def _mini() -> Release:
    file = PublishedFile(
        title="mini (bundled)",
        name=MINI_FILE.name,
        sha256=MINI_SHA256,
        folder_names=(),  # a copy elsewhere could only be of another version
        caches=(("this package", MINI_FILE),),
        download_path=MINI_FILE,
        urls=(),
        bundled=True,
    )
    mean, std = (127 / 255,) * 3, (128 / 255,) * 3  # EfficientNet-Lite's own
    return Release("mini", BUNDLED, True, mean, std, file)


def _clip_file(backbone: str, tag: str, config: dict[str, str]) -> PublishedFile:
    url = config.get("url", "")
    model = open_clip_name(backbone)
    stem = model if tag == OPENAI else f"{model}-{tag}"
    name = PurePosixPath(url).name or f"{stem}.pt"
    hub = config.get("hf_hub", "").removesuffix("/")
    revision, hub_sha256 = PINNED.get(hub, ("", ""))
    cache = Path("~/.cache/clip").expanduser() / name
    return PublishedFile(
        title=f"{backbone} ({tag})",
        name=name,
        sha256=hash_in(url),
        folder_names=tuple(dict.fromkeys((f"{stem}.safetensors", f"{stem}.pt", name))),
        caches=(("torch hub", Path(torch.hub.get_dir()) / "clip" / name), ("~/.cache/clip", cache)),
        download_path=cache,
        urls=tuple(filter(None, (url, MIRRORS.get(f"{backbone} ({tag})")))),
        hub=hub,
        hub_names=_HUB_NAMES if hub else (),
        revision=revision,
        hub_sha256=hub_sha256,
        most=SIZES[hub] + _OTHER_FORMAT if hub in SIZES else MOST_BYTES,
    )


def hash_in(url: str) -> str:
    """The SHA-256, or its first eight digits, that publishers put into a URL or a file's name."""
    found = re.search(r"/([0-9a-f]{64})/|-([0-9a-f]{8})\.pth?$", url)
    return (found[1] or found[2]) if found else ""
