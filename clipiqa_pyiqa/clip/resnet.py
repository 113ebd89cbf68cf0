"""CLIP's ModifiedResNet (RN50, RN101, RN50x4, RN50x16, RN50x64) for images of any size."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from .attention_pool import AttentionPool
from .encoder import Part
from .frozen_tensors import FrozenTensors
from .gradient import is_gradient_in_forward, needs_gradient
from .moments import means_and_deviations
from .packing_trial import warn_of_packing_failure
from .relu_signs import Tape
from .resnet_blocks import Bottleneck, Stem
from .second_derivative import anchor_of, forbid_double_backward
from .tracing import is_traced


class ModifiedResNet:
    """Frozen network of an image tower: normalised pixels ``(N, 3, H, W)`` to features, for H and W of at least 32.

    Source: Radford et al., ICML 2021, Sec. 2.4; Wang et al., AAAI 2023, Sec. 3.1 (no positional embedding).
    """

    group_factor = 1
    has_normalisation = False

    def __init__(self, tensors: FrozenTensors):
        self.rounded = tensors.rounded
        self.trunk = ResNetTrunk(tensors)
        self.pool = AttentionPool(tensors)

    def encode(self, x: Tensor, pos_embedding: str, *parts: Part) -> list[Tensor]:
        """Return the features of each part, not normalised: ``'image'`` ``(N, D)``, ``'places'`` ``(N, D, h, w)``.

        A place is a position of the last map: h = ((H + 1) // 2) // 16, and w accordingly.
        """
        if is_gradient_in_forward(x):
            y = _PiecewiseLinear.apply(x, anchor_of(x), self.trunk, self.rounded)
        else:
            y = self.trunk(self.rounded(x))
        return [(self.pool if part == "image" else self.pool.dense)(y, pos_embedding) for part in parts]

    def encode_stages(self, x: Tensor, pos_embedding: str) -> tuple[Tensor, Tensor]:
        """Return features ``(N, D)``, and ``(N, K)`` channels' means and deviations after the stem and each stage."""
        moments = []
        for y in self.trunk.maps(self.rounded(x)):
            moments.append(means_and_deviations(y.flatten(2).to(self.pool.dtype)))
        return self.pool(y, pos_embedding), torch.cat(moments, dim=1)


class ResNetTrunk:
    """Stem and residual stages: ``(N, 3, H, W)`` to ``(N, C, H // 32, W // 32)``.

    A tape keeps the signs of ReLU outputs for ``pull_back``.
    """

    def __init__(self, tensors: FrozenTensors):
        self.stem = Stem(tensors)
        self.stages = [_stage(tensors, number) for number in (1, 2, 3, 4)]
        warn_of_packing_failure(tensors.device, tensors.arithmetic_dtype)

    def __call__(self, x: Tensor, tape: Tape | None = None) -> Tensor:
        for last in self.maps(x, tape):  # noqa: B007 (a list would keep all maps)
            pass
        return last

    def maps(self, x: Tensor, tape: Tape | None = None) -> Iterator[Tensor]:
        """Yield the maps after the stem and each stage; each map is valid until the next."""
        is_differentiated = is_traced() or needs_gradient(x)  # by torch
        if is_differentiated:
            x = self.stem.differentiable(x)
        else:
            x = self.stem(x.contiguous(memory_format=torch.channels_last), tape)
        yield x
        for stage in self.stages:
            for block in stage:
                x = block.differentiable(x) if is_differentiated else block(x, tape)
            yield x

    def pull_back(self, grad: Tensor, tape: Tape, size: tuple[int, int]) -> Tensor:
        """Return the gradient of pixels of this ``size``; the tape is emptied."""
        grad = grad.contiguous(memory_format=torch.channels_last)
        for stage in reversed(self.stages):
            for block in reversed(stage):
                grad = block.pull_back(grad, tape)
        return self.stem.pull_back(grad, tape, size)


def _stage(tensors: FrozenTensors, number: int) -> list[Bottleneck]:
    """Return the blocks of a stage, as many as the checkpoint has."""
    prefix = f"visual.layer{number}."
    count = len({name.split(".")[2] for name in tensors.checkpoint if name.startswith(prefix)})
    strides = [1 if number == 1 else 2] + [1] * (count - 1)
    return [Bottleneck(tensors, f"{prefix}{index}", stride) for index, stride in enumerate(strides)]


class _PiecewiseLinear(torch.autograd.Function):
    """The trunk, with a gradient from the signs of ReLU outputs."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, anchor: Tensor, trunk: ResNetTrunk, prepare: Callable[[Tensor], Tensor]) -> Tensor:
        tape: Tape = []
        y = trunk(prepare(x), tape)
        ctx.trunk = trunk
        ctx.dtype = y.dtype
        ctx.size = tuple(x.shape[-2:])
        ctx.save_for_backward(anchor, *tape)
        return y.to(x.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None]:
        anchor, *tape = ctx.saved_tensors
        with torch.no_grad():
            # The backward pass is linear, so each image's gradient is scaled to the middle of its dtype's range.
            # Without this scale fp16 would lose small gradients, and a caller's GradScaler has no effect here.
            largest = grad.abs().amax(dim=(1, 2, 3), keepdim=True)
            scale = torch.where(largest > 0, largest.log2().floor().exp2(), 1.0)
            pulled = ctx.trunk.pull_back((grad / scale).to(ctx.dtype), tape, ctx.size).to(grad.dtype) * scale
        return forbid_double_backward(pulled, anchor), None, None, None
