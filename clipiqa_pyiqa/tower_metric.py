"""What all metrics on a frozen CLIP share: its tower, checks of images, and the record of what scores depend on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn

from .checks import OVERSHOOT, check_one_of
from .clip.arithmetic import is_slow_on_cpu
from .clip.gradient import needs_gradient
from .clip.model import FrozenCLIP, ImageTower
from .clip.pixels import check_images
from .errors import warn_caller
from .prompts.provenance import as_texts
from .version import __version__
from .weights.finding import Weights

Precision = Literal["fp32", "bf16", "fp16", "fp64"]

PRECISIONS: dict[Precision, torch.dtype] = {
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
    "fp64": torch.float64,
}

LEARNING_REACH = 32.0
"""How far from [0, 1] pixels with a gradient may lie: networks that still learn overshoot; 8-bit pixels go to 255."""


def encoding_of(weights: Weights, precision: Precision, view: str, is_on_stages: bool) -> tuple[Any, ...]:
    """Return everything that features depend on: metrics with equal encodings share features.

    Args:
        view: What the tower sees of an image.
        is_on_stages: Whether statistics of the tower's stages follow the features.
    """
    return weights.sha256, weights.quick_gelu, precision, view, is_on_stages


class TowerMetric(nn.Module):
    """A metric on a frozen CLIP, which it shares and does not own.

    ``.half()``, ``.bfloat16()``, ``.float()`` and ``.double()`` set its ``precision``; ``.to(device)`` moves what it
    holds, and the tower follows the images.
    """

    clip: FrozenCLIP
    min_side: int  # smallest height and width of images, in pixels
    encode_unchecked: Callable[[Tensor], Tensor]
    score: Callable[..., Tensor]

    def __init__(self, model_type: str, precision: Precision):
        super().__init__()
        check_one_of("precision", precision, PRECISIONS)
        self.model_type = model_type
        self._precision = precision
        self._tower: ImageTower | None = None
        self._has_warned_of_range = False

    @property
    def has_fixed_input(self) -> bool:
        """Whether the tower gets squares of CLIP's own input size, however large the image is."""
        raise NotImplementedError

    @property
    def precision(self) -> Precision:
        """The dtype of the tower's convolutions: as it was built, or as ``.half()``, ``.double()``, … have set it."""
        return self._precision

    @property
    def dtype(self) -> torch.dtype:
        return PRECISIONS[self._precision]

    def provenance(self) -> dict[str, Any]:
        """Return the record of everything that scores depend on."""
        weights = self.clip.weights
        return {
            "metric": self.model_type,
            "version": __version__,
            "backbone": weights.backbone,
            "weights": weights.short,
            "weights_sha256": weights.sha256,
            "quick_gelu": weights.quick_gelu,
            "precision": self.precision,
            **({"cpu_arithmetic": "fp32"} if is_slow_on_cpu(self.dtype) else {}),
        }

    def check(self, x: Tensor, overshoot: float | None = OVERSHOOT) -> None:
        """Raise :class:`ImageError` as :func:`check_images`; warn once if pixels with a gradient leave [0, 1] far."""
        is_learning = overshoot == OVERSHOOT and isinstance(x, Tensor) and needs_gradient(x)
        name = f"{self.model_type} ({self.clip.weights.backbone})"
        reach = check_images(x, LEARNING_REACH if is_learning else overshoot, self.min_side, name)
        if is_learning and reach > OVERSHOOT and not self._has_warned_of_range:
            self._has_warned_of_range = True
            warn_caller(
                f"{self.model_type} expects pixels in [0, 1]; some lie {reach:.2g} outside: if the network's range is "
                "another, such as [-1, 1], bring its output into [0, 1] first."
            )

    def encode_image(self, x: Tensor) -> Tensor:
        """Return unit features for :meth:`score`: ``(N, D)``, or ``(N, K, D)`` of K patches.

        The features are differentiable, in fp32 (float64 for float64 images). A head on stages takes those of
        :meth:`~clipiqa_pyiqa.CLIPIQA.encode_stages`.
        """
        self.check(x)
        return self.encode_unchecked(x)

    def extra_repr(self) -> str:
        fields = as_texts(self.provenance())
        return ", ".join(f"{key}={value!r}" for key, value in fields.items() if key != "weights_sha256")

    def _image_tower(self, x: Tensor) -> ImageTower:
        dtype = torch.float64 if x.dtype == torch.float64 else self.dtype
        tower = self.clip.image_tower(x.device, dtype)
        # kept for the next call, but not read from there: another thread may set it to None meanwhile
        self._tower = tower
        return tower

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> TowerMetric:
        self._tower = None  # frees the tower on the old device
        converted = {fn(torch.empty(0, dtype=dtype)).dtype for dtype in (torch.float16, torch.float32)}
        if len(converted) == 1:  # .half() and the like; .to(device) keeps dtypes
            names = {dtype: name for name, dtype in PRECISIONS.items()}
            self._precision = names.get(converted.pop(), self._precision)
        return super()._apply(fn, recurse)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_tower": None}
