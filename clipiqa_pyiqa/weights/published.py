"""What is published: the CLIPs of open_clip's tags, and the files of pyiqa and LAION, with hashes and addresses."""

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import quote

import torch
from huggingface_hub import constants

from ..errors import WeightsError
from ..text import hint_for

BACKBONES = ("RN50", "RN101", "RN50x4", "RN50x16", "RN50x64", "ViT-B/32", "ViT-B/16", "ViT-L/14", "mini")
OPENAI = "openai"
OPENAI_MEAN = (0.48145466, 0.4578275, 0.40821073)
OPENAI_STD = (0.26862954, 0.26130258, 0.27577711)
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

BUNDLED = "bundled"  # the tag of mini, whose file is inside this package
MINI_FILE = Path(__file__).parents[1] / "data" / "mini.safetensors"
MINI_SHA256 = "11d5fd47ea123a9fd75a601c22065957d0cbe9b139982e8d2cce85fbeca85bb1"

PYIQA_RELEASE = "https://github.com/chaofengc/IQA-PyTorch/releases/download/v0.1-weights"
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
TOWERS = {"QualiCLIP.pth": "RN50", "liqe_koniq.pt": "ViT-B/32", "liqe_mix.pt": "ViT-B/32"}  # file -> CLIP in it
LAION_HEADS = ("v2", "sa_0_4")


@dataclass(frozen=True)
class PublishedFile:
    """A published file: content, names, hashes, places and sources."""

    title: str  # such as 'RN50 (openai)'
    names: tuple[str, ...]  # in a folder of weights and in caches, best first
    caches: tuple[Path, ...]  # folders; downloads from `urls` go to the last folder
    urls: tuple[str, ...] = ()  # addresses of the file with `sha256`, best first
    sha256: str = ""  # all digits, or the first eight, or empty if the hash is unknown
    hub: str = ""  # repository on the hub
    hub_names: tuple[str, ...] = ()  # names of the file in the repository, best first
    revision: str = ""  # of the repository; empty for `main`
    hub_sha256: str = ""  # of the first file of `hub_names` at `revision`
    backbone: str = ""  # of the CLIP in the file; empty for a file without a CLIP
    tag: str = ""  # under which the CLIP was published
    quick_gelu: bool = True  # whether its transformers use QuickGELU, x * sigmoid(1.702 x), instead of GELU
    mean: tuple[float, float, float] = OPENAI_MEAN  # of each channel of the training pixels in [0, 1]
    std: tuple[float, float, float] = OPENAI_STD

    @property
    def hashes(self) -> tuple[str, ...]:
        """The hashes of good copies, or their first digits; none if they are unknown."""
        return tuple(filter(None, (self.sha256, self.hub_sha256)))

    @property
    def hub_folder(self) -> Path:
        """The folder of the repository in the hub's cache."""
        return Path(constants.HF_HUB_CACHE, f"models--{self.hub.replace('/', '--')}")

    @property
    def addresses(self) -> list[str]:
        """The addresses to download the file from, the hub's repository first; none of the file in this package."""
        repositories = [f"{constants.ENDPOINT}/{self.hub}"] if self.hub else []
        return [*repositories, *self.urls]


def canonical_backbone(name: str) -> str:
    """Return a backbone as ``BACKBONES`` spells it; raise WeightsError for an unknown one."""
    spellings = {backbone.lower().replace("/", "-"): backbone for backbone in BACKBONES}
    spelling = str(name).lower().replace("_", "-").replace("/", "-")
    if spelling not in spellings:
        for_files = " To use a file, pass `clip_weights`." if PurePosixPath(str(name)).suffix else ""
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
    # Publishers write the SHA-256 into an address, or its first eight digits.
    digits = re.search(r"(?<=/)[0-9a-f]{64}(?=/)|(?<=-)[0-9a-f]{8}(?=\.pth?$)", url)
    hub = config.get("hf_hub", "").removesuffix("/")
    revision, hub_sha256 = PINNED.get(hub, ("", ""))
    return PublishedFile(
        title,
        names=tuple(dict.fromkeys((f"{stem}.safetensors", f"{stem}.pt", PurePosixPath(url).name or f"{stem}.pt"))),
        caches=(Path(torch.hub.get_dir(), "clip"), Path("~/.cache/clip").expanduser()),
        urls=tuple(filter(None, (url, MIRRORS.get(title)))),
        sha256=digits[0] if digits else "",
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


def pyiqa_file(name: str) -> PublishedFile:
    """Return one of ``PYIQA_FILES``."""
    return PublishedFile(
        title=name,
        names=tuple(dict.fromkeys((name, quote(name)))),
        caches=(Path(torch.hub.get_dir(), "checkpoints"), Path(torch.hub.get_dir(), "pyiqa")),
        urls=(f"{PYIQA_RELEASE}/{quote(name)}",),
        sha256=PYIQA_FILES[name],
        hub="chaofengc/IQA-PyTorch-Weights",
        hub_names=(name,),
        hub_sha256=PYIQA_FILES[name],
        backbone=TOWERS.get(name, ""),
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
