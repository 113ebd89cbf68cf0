"""The published CLIPs: backbones, the tags under which their weights were published, and their files."""

import re
from pathlib import Path, PurePosixPath

import torch

from ..errors import WeightsError
from ..text import hint_for
from .published_file import OPENAI_MEAN, OPENAI_STD, PublishedFile

BACKBONES = ("RN50", "RN101", "RN50x4", "RN50x16", "RN50x64", "ViT-B/32", "ViT-B/16", "ViT-L/14", "mini")
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
HUB_NAMES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")  # open_clip tries them in this order


def canonical_backbone(name: str) -> str:
    """Return a backbone as ``BACKBONES`` spells it; raise WeightsError for an unknown one."""
    spellings = {backbone.lower().replace("/", "-"): backbone for backbone in BACKBONES}
    spelling = str(name).lower().replace("_", "-").replace("/", "-")
    if spelling not in spellings:
        is_file = bool(PurePosixPath(str(name)).suffix)
        for_files = " To use a file, pass `clip_weights`." if is_file else ""
        raise WeightsError(
            f"unknown backbone {str(name)!r}: {hint_for(str(name), BACKBONES)}{for_files}", options=("clip_weights",)
        )
    return spellings[spelling]


def tags(backbone: str) -> tuple[str, ...]:
    """Return the tags under which a backbone's weights were published."""
    if backbone == "mini":
        return (BUNDLED,)
    import open_clip  # the import takes seconds, and mini does not need open_clip

    return tuple(open_clip.list_pretrained_tags_by_model(backbone.replace("/", "-")))


def published_clip(backbone: str, tag: str = "") -> PublishedFile:
    """Return the file that was published under a tag, by default OpenAI's; raise WeightsError for an unknown tag."""
    if backbone == "mini" and tag in ("", BUNDLED):
        return _bundled_file()
    import open_clip
    from open_clip.pretrained import is_pretrained_cfg

    model = backbone.replace("/", "-")
    tag = tag or OPENAI
    config = open_clip.get_pretrained_cfg(model, tag)
    if not config:
        raise WeightsError(
            f"{tag!r} is neither a file nor a tag of open_clip for {backbone}: expected a path or one of "
            f"{', '.join(tags(backbone))}; {hint_for(tag, tags(backbone))}"
        )
    tag = tag.lower().replace("-", "_")  # as open_clip spells tags
    title = f"{backbone} ({tag})"
    stem = model if tag == OPENAI else f"{model}-{tag}"
    url = config.get("url", "")
    hub = config.get("hf_hub", "").removesuffix("/")
    revision, hub_sha256 = PINNED.get(hub, ("", ""))
    return PublishedFile(
        title,
        names=tuple(dict.fromkeys((f"{stem}.safetensors", f"{stem}.pt", PurePosixPath(url).name or f"{stem}.pt"))),
        caches=(Path(torch.hub.get_dir(), "clip"), Path("~/.cache/clip").expanduser()),
        urls=tuple(filter(None, (url, MIRRORS.get(title)))),
        sha256=_hash_in(url),
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


def _bundled_file() -> PublishedFile:
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


def _hash_in(url: str) -> str:
    """Return the SHA-256 that a publisher wrote into an address, or its first eight digits, or ''."""
    digits = re.search(r"(?<=/)[0-9a-f]{64}(?=/)|(?<=-)[0-9a-f]{8}(?=\.pth?$)", url)
    return digits[0] if digits else ""
