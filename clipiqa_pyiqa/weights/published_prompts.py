"""The published prompt files of CLIP-IQA+: their names, where they come from, and how one is found."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import torch

from ..errors import WeightsError
from . import search
from .published import PublishedFile, hash_in

PROMPT_FILES = (
    "CLIP-IQA+_learned_prompts-603f3273.pth",
    "CLIPIQA+_RN50_512-89f5d940.pth",
    "CLIPIQA+_ViTL14_512-e66488f2.pth",
)
HUB = "chaofengc/IQA-PyTorch-Weights"
"""pyiqa's store of weights on the hub."""


def prompt_file(name: str) -> PublishedFile:
    """One of ``PROMPT_FILES``, learned prompts from pyiqa's store of weights.

    Raises:
        WeightsError: If no such file is published.
    """
    from pyiqa.archs import arch_util  # not at the top: pyiqa may be loading us as a plugin at this very moment

    if name not in PROMPT_FILES:
        raise WeightsError(f"{name!r} is no published prompt file: expected one of {', '.join(PROMPT_FILES)}.")
    torch_hub, names = Path(torch.hub.get_dir()), (name, quote(name))  # pyiqa keeps what it downloads as in the URL
    return PublishedFile(
        title=name,
        name=name,
        sha256=hash_in(name),
        folder_names=tuple(dict.fromkeys(names)),
        caches=tuple(("torch hub", torch_hub / folder / each) for folder in ("pyiqa", "checkpoints") for each in names),
        download_path=torch_hub / "pyiqa" / name,
        urls=(arch_util.get_url_from_name(name), arch_util.get_url_from_name(name, store_base="github")),
        hub=HUB,
        hub_names=(name,),
        hub_sha256=hash_in(name),
        argument="pretrained_model_path",
        most=16 << 20,
    )


def find_prompt_file(name: str) -> Path:
    """Find one of the published prompt files of CLIP-IQA+, in the same order as weights; downloaded if need be.

    Raises:
        WeightsError: If no such file is published, or if it is damaged or not found.
    """
    return search.find(prompt_file(name)).path
