"""The base class of the family's metrics, and their views of an image."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..clip.gradient import per_image, recomputed
from ..clip.inputs import check_images, check_size
from ..clip.model import frozen_clip, middle_square
from ..errors import CLIPIQAError
from ..errors.arguments import OVERSHOOT
from ..metric import Precision, TowerMetric
from ..prompts.provenance import tower_record
from ..weights.published import pyiqa_file
from ..weights.selection import find_file, find_weights, weights_in

SIDE = 224  # pixels of CLIP's own square input


class TowerInput(NamedTuple):
    name: str
    pos_embedding: str  # the tower's option: 'none' or 'interpolate'
    min_side: int  # smallest height and width in pixels; 0 means the size of the tower's places
    take: Callable[[Tensor], list[Tensor]]  # returns the parts to encode, each ``(N, 3, h, w)``
    dims: int = 2  # axes of features: ``(N, D)``, or ``(N, K, D)`` of K patches


def _all_patches(x: Tensor) -> list[Tensor]:
    """Return MA-CLIP's patches: all patches at stride 128, and the whole image resized to a square."""
    return [*_patches(x, 128), F.interpolate(x, (SIDE, SIDE), mode="bilinear", align_corners=False)]


def _fifteen_patches(x: Tensor) -> list[Tensor]:
    """Return LIQE's patches: at most 15 of the patches at stride 32, evenly spaced in reading order."""
    patches = _patches(x, 32)
    return patches[:: max(1, len(patches) // 15)][:15]


def _patches(x: Tensor, stride: int) -> list[Tensor]:
    tops, lefts = (range(0, size - SIDE + 1, stride) for size in x.shape[2:])
    return [x[:, :, top : top + SIDE, left : left + SIDE] for top in tops for left in lefts]


WHOLE = TowerInput("whole image", "none", 0, lambda x: [x])
CROP = TowerInput("224 px of the middle", "interpolate", 1, lambda x: [middle_square(x, SIDE)])
ALL_PATCHES = TowerInput("224 px patches at stride 128, and the image squashed", "none", SIDE, _all_patches, 3)
FIFTEEN_PATCHES = TowerInput("15 patches of 224 px", "interpolate", SIDE, _fifteen_patches, 3)


CHUNK = 16  # patches that are encoded at once


class CLIPMetric(TowerMetric):
    """A metric of pyiqa: a frozen CLIP tower, a view of the image and a head.

    Args:
        model_type: pyiqa's name of the metric.
        backbone: backbone of the tower.
        clip_weights: the tower's file, or an open_clip tag; default the published file.
        quick_gelu: whether an unpublished file uses QuickGELU.
        pretrained_model_path: the metric's own file, if it has one.
    """

    backbone: ClassVar[str]
    view: ClassVar[TowerInput]
    score_range: ClassVar[tuple[float, float]] = (0.0, 1.0)
    lower_better = False
    takes_captions: ClassVar[bool] = False  # whether each image is compared with its caption
    file: Mapping[str, str] = {}  # name and hash of the metric's own file
    tower_file = ""  # pyiqa's file with the metric's own tower

    def __init__(
        self,
        model_type: str,
        backbone: str | None = None,
        pretrained: bool | str = True,
        *,
        clip_weights: str | Path | None = None,
        quick_gelu: bool | None = None,
        precision: Precision = "fp32",
        pretrained_model_path: str | Path | None = None,
    ):
        super().__init__(model_type, precision)
        if self.tower_file and quick_gelu is None:
            quick_gelu = True  # pyiqa's towers are OpenAI's, fine-tuned
        if self.tower_file and clip_weights is None:
            file = pyiqa_file(self.tower_file)
            weights = weights_in(find_file(file), file, quick_gelu)
        else:
            weights = find_weights(backbone or self.backbone, clip_weights, quick_gelu)
        self.clip = frozen_clip(weights)
        self.load(pretrained_model_path)

    def load(self, path: str | Path | None) -> None:
        if path is not None:
            raise CLIPIQAError(f"{self.model_type} has no file of its own: pass clip_weights=PATH for its tower.")

    def answer(self, features: Tensor) -> Tensor:
        raise CLIPIQAError(f"{self.model_type} needs a caption for each image: call it with caption_list=[TEXT, ...].")

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.model_type,)

    @property
    def pos_embedding(self) -> str:
        """``'none'`` if the tower sees the whole image, else ``'fixed'`` (224 px)."""
        return "none" if self.view is WHOLE else "fixed"

    @property
    def encoding(self) -> tuple[Any, ...]:
        """As :attr:`CLIPIQA.encoding <clipiqa_pyiqa.CLIPIQA.encoding>`."""
        seen = "none" if self.view is WHOLE else self.view.name
        return self.clip.weights.sha256, self.clip.weights.quick_gelu, self.precision, seen, False

    def forward(self, x: Tensor) -> Tensor:
        """Return scores ``(N, 1)`` in :attr:`score_range` (high is good) of RGB images ``(N, 3, H, W)`` in [0, 1]."""
        self.check(x)
        return per_image(lambda images: self.answer(self.encode_unchecked(images))[:, None], x)

    def check(self, x: Tensor, overshoot: float | None = OVERSHOOT) -> None:
        """Raise :class:`ImageError` if images cannot be scored; pixels may lie ``overshoot`` outside [0, 1]."""
        check_images(x, overshoot)
        check_size(x, self.view.min_side or self.clip.cell, self.model_type)

    def encode_image(self, x: Tensor) -> Tensor:
        """Return unit features for :meth:`score`: ``(N, D)``, or ``(N, K, D)`` of K patches."""
        self.check(x)
        return self.encode_unchecked(x)

    def encode_unchecked(self, x: Tensor) -> Tensor:
        tower = self._image_tower(x)
        views = self.view.take(x.expand(-1, 3, -1, -1).to(tower.mean.dtype))
        if self.view.dims == 2:
            return tower(views[0], self.view.pos_embedding)
        step = max(1, CHUNK // len(x))
        keeps_signs = self.clip.weights.backbone.startswith("RN")  # a ViT would keep all activations
        encode = tower if keeps_signs else partial(recomputed, tower)
        chunks = (torch.cat(views[start : start + step]) for start in range(0, len(views), step))
        features = torch.cat([encode(chunk, self.view.pos_embedding) for chunk in chunks])
        return features.unflatten(0, (-1, len(x))).transpose(0, 1)

    def score(self, features: Tensor, prompts: None = None) -> Tensor:
        """Return scores ``(N, 1)`` of the tower's features, normalised or not, in any floating dtype.

        Raises:
            CLIPIQAError: features are of another tower, or prompts are given.
        """
        if prompts is not None:
            raise CLIPIQAError(f"{self.model_type} has its own texts: leave out `prompts`.")
        if features.ndim != self.view.dims or features.shape[-1] != self.clip.width:
            axes = "N" if self.view.dims == 2 else "N, patches"
            raise CLIPIQAError(
                f"{self.model_type} scores features of {self.clip.weights.backbone}, of shape ({axes}, "
                f"{self.clip.width}); got {tuple(features.shape)}."
            )
        wide = torch.promote_types(features.dtype, torch.float32)
        return self.answer(F.normalize(features.to(wide), dim=-1))[:, None]

    def texts(self, texts: list[str], features: Tensor) -> Tensor:
        return self.clip.encode_texts(texts, features.dtype).to(features.device)

    def provenance(self) -> dict[str, Any]:
        return {
            "metric": self.model_type,
            **tower_record(self.clip.weights, self.precision, self.dtype),
            "view": self.view.name,
            **self.file,
            "scores": {self.model_type: {"range": list(self.score_range), "lower_better": False}},
        }
