"""The files that pyiqa and LAION publish for metrics: learned prompts, towers and heads."""

from pathlib import Path
from urllib.parse import quote

import torch

from .published_file import PublishedFile

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
PYIQA_RELEASE = "https://github.com/chaofengc/IQA-PyTorch/releases/download/v0.1-weights"


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
