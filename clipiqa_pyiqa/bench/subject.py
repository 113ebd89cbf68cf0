"""The two sides of the comparison, described so that another process can build the same one."""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ..choices import Precision
from ..metric import CLIPIQA
from ..prompts.pairs import PRESETS
from ..weights.checkpoint import open_checkpoint

Side = Literal["ours", "built-in", "towers"]
QUESTION = "pyiqa"
"""Both sides ask what the built-in asks, its five pairs; ours encodes them once."""


@dataclass(frozen=True)
class Subject:
    """One side.

    Attributes:
        side: ``'ours'``; ``'built-in'``, pyiqa's own class; or ``'towers'``, :class:`PyiqaTowers` in its place.
        weights: the checkpoint file.
        quick_gelu: whether it was trained with QuickGELU, which only our side asks.
        precision: of our side; the others are fp32.
        device: where it computes.
    """

    side: Side
    weights: str
    quick_gelu: bool = True
    precision: Precision = "fp32"
    device: str = "cpu"

    def build(self) -> nn.Module:
        """The network, in inference mode: ``(N, 3, H, W)`` in [0, 1] to ``(N, 1)``."""
        if self.side == "ours":
            net: nn.Module = CLIPIQA(
                clip_weights=Path(self.weights),
                quick_gelu=self.quick_gelu,
                precision=self.precision,
                prompts=QUESTION,
            )
        elif self.side == "built-in":
            from pyiqa.utils.registry import ARCH_REGISTRY

            net = ARCH_REGISTRY.get("CLIPIQA_builtin")(backbone=self.weights)
        else:
            net = PyiqaTowers(open_checkpoint(self.weights))
        return net.to(self.device).eval()

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Subject:
        return cls(**json.loads(text))


class PyiqaTowers(nn.Module):
    """Stands in for pyiqa's built-in where that cannot be imported: pyiqa's own towers, asked in the same way.

    Like the built-in it moves CLIP to the image and encodes its ten prompts, all 77 positions, in every call.
    """

    def __init__(self, tensors: Mapping[str, Tensor]):
        super().__init__()
        from open_clip.tokenizer import SimpleTokenizer
        from pyiqa.archs.clip_model import build_model
        from pyiqa.archs.constants import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

        self.clip_model = [build_model(dict(tensors)).float().requires_grad_(False)]
        self.tokens = SimpleTokenizer()([text for pair in PRESETS[QUESTION] for text in (pair.positive, pair.negative)])
        self.mean, self.std = (torch.tensor(v).view(1, 3, 1, 1) for v in (OPENAI_CLIP_MEAN, OPENAI_CLIP_STD))

    def forward(self, x: Tensor) -> Tensor:
        clip = self.clip_model[0].to(x)
        x = (x - self.mean.to(x)) / self.std.to(x)
        logits, _ = clip(x, self.tokens.to(x.device), pos_embedding=False)
        return logits.unflatten(1, (-1, 2)).softmax(dim=-1)[..., 0].mean(dim=1, keepdim=True)


def image_tower_alone(net: Any, x: Tensor) -> Tensor:
    """Image features by the built-in's tower, without its prompts, normalised as ours are."""
    clip = net.clip_model[0].to(x)
    mean, std = (getattr(net, name, getattr(net, f"default_{name}", None)) for name in ("mean", "std"))
    features = clip.encode_image((x - mean.to(x)) / std.to(x), pos_embedding=False)  # type: ignore[union-attr]
    return nn.functional.normalize(features, dim=-1)


def largest_difference(one: nn.Module, other: nn.Module, x: Tensor) -> float:
    """How far two sides' scores of the same images are apart."""
    with torch.inference_mode():
        return (one(x) - other(x)).abs().max().item()


def why_no_builtin() -> str:
    """Why pyiqa's built-in cannot be imported here, in one line; empty if it can."""
    try:
        import pyiqa.archs.clipiqa_arch  # noqa: F401
    except (ImportError, AssertionError) as error:  # AssertionError: its name is taken in pyiqa's registry
        return str(error).splitlines()[0]
    return ""


def is_archive(path: Path) -> bool:
    """Whether a file is a TorchScript archive, as OpenAI's are: the one format that the built-in opens."""
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def save_archive(tensors: Mapping[str, Tensor], path: Path) -> Path:
    """Write a state dict as OpenAI does: a TorchScript archive in fp16."""
    root = nn.Module()
    for name, tensor in tensors.items():
        *folders, leaf = name.split(".")
        module = root
        for folder in folders:
            if folder not in module._modules:
                module.add_module(folder, nn.Module())
            module = module.get_submodule(folder)
        module.register_buffer(leaf, tensor.half() if tensor.is_floating_point() else tensor)
    torch.jit.script(root).save(path)
    return path


def random_weights(seed: int = 0) -> dict[str, Tensor]:
    """A state dict of RN50's full architecture, random: good for times, which do not depend on values.

    BatchNorm's statistics are measured on noise, so that features depend on the image and two sides can be compared.
    """
    import open_clip

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = open_clip.CLIP(**open_clip.get_model_config("RN50-quickgelu"))
        model.logit_scale.data.fill_(math.log(100))  # as in every published CLIP
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.ones_(module.weight)  # CLIP's own start, zeros, would leave every residual branch empty
                module.momentum = None  # a plain mean
        with torch.no_grad():
            model.visual.train()(torch.randn(2, 3, 224, 224))
    return model.state_dict()
