"""The published files: CLIP weights, mini and pyiqa's files, found on this machine or by download."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import quote, urlsplit

import torch
from huggingface_hub import constants

from ..checks import FilePath, checked
from ..errors import WeightsError
from ..files.reading import sha256_of
from ..logger import log
from ..text import nearest
from .checkpoint import check_architecture, open_checkpoint
from .published_file import OPENAI_MEAN, OPENAI_STD, PublishedFile

VARIABLE = "CLIPIQA_WEIGHTS_DIR"

BACKBONES = ("RN50", "RN101", "RN50x4", "RN50x16", "RN50x64", "ViT-B/32", "ViT-B/16", "ViT-L/14", "mini")


def canonical_backbone(name: str) -> str:
    plain = str(name).lower().replace("_", "-").replace("/", "-")
    if plain in (known := {backbone.lower().replace("/", "-"): backbone for backbone in BACKBONES}):
        return known[plain]
    raise WeightsError(
        f"unknown backbone {str(name)!r}: {nearest(str(name), BACKBONES)} To use a file, pass `clip_weights`."
    )


OPENAI = "openai"
BUNDLED = "bundled"  # the tag of mini, whose file is inside this package
MINI_FILE = Path(__file__).parents[1] / "data" / "mini.safetensors"
MINI_SHA256 = "11d5fd47ea123a9fd75a601c22065957d0cbe9b139982e8d2cce85fbeca85bb1"
PINNED = {  # repository on the hub -> revision and SHA-256 of its open_clip_model.safetensors
    "timm/resnet50_clip.openai": (
        "ec3d92cf63a5f9d591f0d611b736895966c73076",
        "da0baa37fb2211eee5729ab69ed587eb10d48f5b7076ceeed01552fc3d4cb4ee",
    ),
    "timm/vit_base_patch32_clip_224.openai": (
        "a6f597a30f7b82c51704746581f9a4e41421e878",
        "e6d1bd7789aa45192b3bf90570a789b478bae1b74ebcce7eddd908e83a2b7c31",
    ),
    "timm/vit_base_patch16_clip_224.openai": (
        "977e3dd0ec55ab8da155f2fbeb6b5f54948b6e3d",
        "4b8699299b1e8997753c64b052ba32031449d5d853f55a039148560ee02b820f",
    ),
    "timm/vit_large_patch14_clip_224.openai": (
        "18d0535469bb561bf468d76c1d73aa35156c922b",
        "9ce2e8a8ebfff3793d7d375ad6d3c35cb9aebf3de7ace0fc7308accab7cd207e",
    ),
}
MIRRORS = {  # title -> another address of OpenAI's file; the hash of a download is checked
    "RN50 (openai)": "https://github.com/photosynthesis-team/piq/releases/download/v0.7.1/RN50.pt"
}
PYIQA_FILES = {  # name in pyiqa's repository -> SHA-256, or its first eight digits, or "" if the hash is unknown
    "CLIP-IQA+_learned_prompts-603f3273.pth": "603f3273",
    "CLIPIQA+_RN50_512-89f5d940.pth": "89f5d940",
    "CLIPIQA+_ViTL14_512-e66488f2.pth": "e66488f2",
    "QualiCLIP.pth": "",
    "QualiCLIP+_koniq.pth": "",
    "QualiCLIP+_clive.pth": "",
    "QualiCLIP+_flive.pth": "",
    "QualiCLIP+_spaq.pth": "",
    "liqe_koniq.pt": "",
    "liqe_mix.pt": "",
    "sac+logos+ava1-l14-linearMSE.pth": "21dd590f3ccdc646f0d53120778b296013b096a035a2718c9cb0d511bff0f1e0",
}
_TOWERS = {"QualiCLIP.pth": "RN50", "liqe_koniq.pt": "ViT-B/32", "liqe_mix.pt": "ViT-B/32"}  # file -> CLIP in it
LAION_HEADS = ("v2", "sa_0_4")
PYIQA_RELEASE = "https://github.com/chaofengc/IQA-PyTorch/releases/download/v0.1-weights"
HUB_NAMES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")  # open_clip tries them in this order


def tags(backbone: str) -> tuple[str, ...]:
    if backbone == "mini":
        return (BUNDLED,)
    import open_clip  # the import takes seconds, and mini does not need open_clip

    return tuple(open_clip.list_pretrained_tags_by_model(backbone.replace("/", "-")))


def release(backbone: str, tag: str = "") -> PublishedFile:
    if backbone == "mini" and tag in ("", BUNDLED):
        return PublishedFile(
            title="mini (bundled)",
            names=(MINI_FILE.name,),
            caches=(MINI_FILE.parent,),
            sha256=MINI_SHA256,
            backbone="mini",
            tag=BUNDLED,
            mean=(127 / 255,) * 3,  # as in EfficientNet-Lite
            std=(128 / 255,) * 3,
        )
    import open_clip
    from open_clip.pretrained import is_pretrained_cfg

    model, tag = backbone.replace("/", "-"), tag or OPENAI
    config = open_clip.get_pretrained_cfg(model, tag)
    if not config:
        raise WeightsError(
            f"{tag!r} is neither a file nor a tag of open_clip for {backbone}: expected a path or one of "
            f"{', '.join(tags(backbone))}; {nearest(tag, tags(backbone))}"
        )
    tag = tag.lower().replace("-", "_")  # as open_clip spells tags
    title, stem = f"{backbone} ({tag})", model if tag == OPENAI else f"{model}-{tag}"
    url, hub = config.get("url", ""), config.get("hf_hub", "").removesuffix("/")
    revision, hub_sha256 = PINNED.get(hub, ("", ""))
    found = re.search(r"(?<=/)[0-9a-f]{64}(?=/)|(?<=-)[0-9a-f]{8}(?=\.pth?$)", url)  # a hash, or its start
    return PublishedFile(
        title,
        names=tuple(dict.fromkeys((f"{stem}.safetensors", f"{stem}.pt", PurePosixPath(url).name or f"{stem}.pt"))),
        caches=(Path(torch.hub.get_dir(), "clip"), Path("~/.cache/clip").expanduser()),
        urls=tuple(filter(None, (url, MIRRORS.get(title)))),
        sha256=found[0] if found else "",
        hub=hub,
        hub_names=HUB_NAMES if hub else (),
        revision=revision,
        hub_sha256=hub_sha256,
        backbone=backbone,
        tag=tag,
        # All models of OpenAI use QuickGELU. Models of other publishers do if open_clip lists them under -quickgelu.
        quick_gelu=tag == OPENAI or is_pretrained_cfg(f"{model}-quickgelu", tag),
        mean=config.get("mean") or OPENAI_MEAN,
        std=config.get("std") or OPENAI_STD,
    )


def pyiqa_file(name: str) -> PublishedFile:
    return PublishedFile(
        title=name,
        names=tuple(dict.fromkeys((name, quote(name)))),
        caches=(Path(torch.hub.get_dir(), "checkpoints"), Path(torch.hub.get_dir(), "pyiqa")),
        urls=(f"{PYIQA_RELEASE}/{quote(name)}",),
        sha256=PYIQA_FILES[name],
        hub="chaofengc/IQA-PyTorch-Weights",
        hub_names=(name,),
        hub_sha256=PYIQA_FILES[name],
        backbone=_TOWERS.get(name, ""),
        tag=name,
    )


def head_file(name: str) -> PublishedFile:
    """Return the file of one of ``LAION_HEADS``, for features of ViT-L/14."""
    if name == "v2":
        return pyiqa_file("sac+logos+ava1-l14-linearMSE.pth")
    file = "sa_0_4_vit_l_14_linear.pth"
    return PublishedFile(
        title=file,
        names=(file,),
        caches=(Path(torch.hub.get_dir(), "checkpoints"),),
        urls=(f"https://github.com/LAION-AI/aesthetic-predictor/raw/main/{file}",),
        sha256="2cd4e60f4f24ae3bcd57b847b13c1f3ba27edc28cc1a7f9ce74ee9f421243cba",
    )


def recognise(path: Path, sha256: str) -> PublishedFile | None:
    """Return the published CLIP that has this hash or this place in the hub's cache, or None."""
    for known in (release(backbone, tag) for backbone in BACKBONES for tag in tags(backbone)):
        in_cache = known.hub_folder.name in path.absolute().parts
        if in_cache or sha256.startswith(known.hashes):
            return known
    return None


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
    path: Path
    source: str  # the place where it was found
    sha256: str


def find_weights(
    backbone: str = "RN50", clip_weights: FilePath | None = None, quick_gelu: bool | None = None
) -> Weights:
    """Return the weights of a backbone after checking hash and architecture; no tensor is read.

    Args:
        backbone: One of ``BACKBONES``; the spelling ``'vit-b-32'`` also works.
    """
    backbone = canonical_backbone(backbone)
    is_name = isinstance(clip_weights, str) and "/" not in clip_weights and not Path(clip_weights).suffix
    if clip_weights is None or (is_name and (clip_weights in tags(backbone) or not Path(clip_weights).exists())):
        known = release(backbone, str(clip_weights or ""))
        if quick_gelu not in (None, known.quick_gelu) and good_copy(known) is None:
            check_activation(known, quick_gelu)  # raises before a download
        return _weights_named(find_file(known), known, quick_gelu)
    path = Path(clip_weights).expanduser()
    if not path.is_file():
        raise WeightsError(
            f"clip_weights={str(clip_weights)!r} does not exist or is a folder: pass a file or a tag of open_clip."
        )
    copy = Copy(path, "given path", sha256_of(path))
    recognised = recognise(path, copy.sha256)
    if recognised is None or recognised.backbone != backbone:
        return _unpublished(copy, release(backbone), quick_gelu)
    return weights_in(copy, recognised, quick_gelu)


def _weights_named(copy: Copy, known: PublishedFile, quick_gelu: bool | None = None) -> Weights:
    """Return the weights in a file that has a published file's name; in the user's folder its hash decides."""
    if copy.source != VARIABLE or copy.sha256.startswith(known.hashes):
        return weights_in(copy, known, quick_gelu)
    recognised = recognise(copy.path, copy.sha256)
    if recognised is not None and recognised.backbone == known.backbone:
        raise WeightsError(
            f"{copy.path} is {recognised.title}, not {known.title}: pass clip_weights={recognised.tag!r}, or rename "
            "the file."
        )
    return _unpublished(copy, known, quick_gelu)


def _unpublished(copy: Copy, like: PublishedFile, quick_gelu: bool | None) -> Weights:
    """Return the weights in a file whose hash is not known; what is not given is as in the published file ``like``."""
    activation = like.quick_gelu if quick_gelu is None else quick_gelu
    weights = weights_in(copy, replace(like, tag="file", quick_gelu=activation))
    if quick_gelu is None:
        assumed, other = ("QuickGELU", "GELU") if activation else ("GELU", "QuickGELU")
        log.warning(
            f"{copy.path} is not a published file: {assumed} is assumed; switch quick_gelu "
            f"{'off' if activation else 'on'} if the model uses {other}."
        )
    return weights


def check_activation(known: PublishedFile, quick_gelu: bool | None) -> None:
    """Raise WeightsError if an option contradicts a published file."""
    if quick_gelu is not None and quick_gelu != known.quick_gelu:
        raise WeightsError(
            f"quick_gelu={quick_gelu} contradicts {known.title}, which was trained "
            f"{'with' if known.quick_gelu else 'without'} QuickGELU: leave quick_gelu out."
        )


def weights_in(copy: Copy, known: PublishedFile, quick_gelu: bool | None = None) -> Weights:
    check_activation(known, quick_gelu)
    check_architecture(open_checkpoint(copy.path), known.backbone)
    return Weights(**(vars(known) | copy._asdict()))


def is_same_release(weights: Weights, sha256: str) -> bool:
    """Return whether a hash is that of these weights, or of the same published weights in another file format."""
    if sha256 == weights.sha256:
        return True
    published = () if weights.tag == "file" else release(weights.backbone, weights.tag).hashes
    return weights.sha256.startswith(published) and sha256.startswith(published)


def found_again(weights: Weights) -> Weights:
    """Return weights that another process pickled; the file on this machine must have the same hash."""
    for path in (weights.path, Path(os.environ.get(VARIABLE) or ".").expanduser() / weights.path.name):
        if path.is_file() and sha256_of(path) == weights.sha256:
            return replace(weights, path=path)
    raise WeightsError(
        f"this metric was pickled with {weights.backbone}, {weights.short} ({weights.path}), and no file with that "
        f"SHA-256 is on this machine: put the file there, or into the folder that {VARIABLE} names."
    )


def find_file(file: PublishedFile) -> Copy:
    """Return the first good copy of a published file on this machine, downloaded if there is none."""
    if copy := good_copy(file):
        return copy
    places = download_places(file)
    if not places:
        raise WeightsError(f"{file.title}, a part of clipiqa-pyiqa, is missing or damaged: install the package again.")
    failures = ["HF_HUB_OFFLINE is set"] if constants.HF_HUB_OFFLINE else []
    from huggingface_hub import hf_hub_url  # loads the hub's client

    from .download import from_hub, from_url

    for place in [] if failures else places:
        log.warning(f"Downloading {file.title} from {place} …")  # a warning, since a download may take minutes
        try:
            if place in file.urls:
                path = from_url(place, file.caches[-1] / place.rpartition("/")[2], file.sha256)
            else:
                path = from_hub(file)
            return Copy(path, "download", sha256_of(path))
        except Exception as error:  # the hub's client raises many kinds of errors; the message below lists all
            failures.append(f"{urlsplit(place).netloc}: {' '.join((str(error) or repr(error)).split())[:200]}")
    address = hf_hub_url(file.hub, file.hub_names[0], revision=file.revision or None) if file.hub else file.urls[0]
    way_out = (
        "to try clipiqa, use backbone=mini, the small CLIP in this package, or name a file by clip_weights=PATH"
        if file.backbone
        else "name a file of your own instead"
    )
    raise WeightsError(
        f"{file.title} is not on this machine and could not be downloaded ({'; '.join(failures)}): {way_out}.\n"
        f"The file is at {address}: save it as {file.caches[-1] / file.names[0]}, or under that name in the folder "
        f"that {VARIABLE} names. Where the hub is blocked, set HF_ENDPOINT to a mirror, such as https://hf-mirror.com."
    )


def good_copy(file: PublishedFile) -> Copy | None:
    """Return the first good copy on this machine; raise WeightsError if the copy in the user's folder is damaged."""
    for path, source, expected in copies(file):
        sha256 = sha256_of(path)
        if not expected or sha256.startswith(expected):
            return Copy(path, source, sha256)
        hashes = " or ".join(f"{each[:8]}…" for each in expected)
        # The real path, not the hub's link: if a user deletes only the link, the hub links the same file again.
        problem = f"{path.resolve()} is damaged or another file: its SHA-256 is {sha256[:8]}…, not {hashes}"
        if source == VARIABLE:
            raise WeightsError(f"{problem}; copy it again, or delete the file.")
        log.warning(f"{problem}; this copy is not used: delete the file.")
    return None


def copies(file: PublishedFile) -> Iterator[tuple[Path, str, tuple[str, ...]]]:
    """Yield path, place and accepted hashes, or their first digits; without hashes, any file is accepted."""
    folder = os.environ.get(VARIABLE)
    for path in (_folder(folder) / name for name in file.names) if folder and download_places(file) else ():
        if path.is_file():  # users convert weights to .safetensors; with an unknown hash, they count as unpublished
            yield path, VARIABLE, () if path.suffix == ".safetensors" else file.hashes
    for name in file.hub_names:
        for path in sorted(file.hub_folder.glob(f"snapshots/*/{name}")):
            expected = file.hub_hash(name, path.readlink().name if path.is_symlink() else "")
            yield path, "hub cache", (expected,) if expected else ()
    for path in (place / name for place in file.caches for name in file.names):
        if path.is_file():
            yield path, "cache" if download_places(file) else "this package", file.hashes


@cache
def _folder(name: str) -> Path:
    """Return the user's folder of weights; warn once if it is not a folder."""
    folder = Path(name).expanduser()
    if not folder.is_dir():
        log.warning(f"{VARIABLE} names {folder}, which is no folder: it is left out.")
    return folder


def download_places(file: PublishedFile) -> list[str]:
    return [*([f"{constants.ENDPOINT}/{file.hub}"] if file.hub else []), *file.urls]


@dataclass(frozen=True)
class FileAtHand:
    """A published file and its state on this machine."""

    title: str  # such as 'RN50 (openai)'
    state: str
    where: str  # the place and path of the file, the address to download from, or the problem
    size: int | None = None  # in bytes; None if the file is not on this machine
    sha256: str = ""  # of the file on this machine, or the known first digits of the published file's


@checked
def weights_at_hand(
    backbones: str | Iterable[str] = (), *, prompts: bool = False, download: bool = False
) -> Iterator[FileAtHand]:
    """Yield each published file with its state on this machine.

    Args:
        backbones: One or several, as ``'RN50'`` or, with a tag, ``'ViT-B/32:laion2b_s34b_b79k'``; default all.
        prompts: Add the published prompts of CLIP-IQA+.
    """
    named = [backbones] if isinstance(backbones, str) else list(backbones)
    everything = not named and not prompts
    parts = [name.partition(":") for name in (BACKBONES if everything else named)]
    wanted = [release(canonical_backbone(backbone), tag) for backbone, _, tag in parts]
    wanted += map(pyiqa_file, PYIQA_FILES if everything or prompts else ())
    return (_look(file, download) for file in wanted)


def _look(file: PublishedFile, download: bool) -> FileAtHand:
    try:
        copy = find_file(file) if download else good_copy(file)
        if copy is None:
            state = "missing (offline)" if constants.HF_HUB_OFFLINE else "would be downloaded"
            return FileAtHand(file.title, state, " or ".join(download_places(file)), sha256=file.sha256)
        state = "found"
        if file.title in PYIQA_FILES:
            if file.backbone:
                weights_in(copy, file)
        elif _weights_named(copy, file).tag != file.tag:
            state = "not published"
    except WeightsError as error:
        return FileAtHand(file.title, "failed" if download else "damaged", str(error).splitlines()[0])
    return FileAtHand(file.title, state, f"{copy.source}: {copy.path}", copy.path.stat().st_size, copy.sha256)
