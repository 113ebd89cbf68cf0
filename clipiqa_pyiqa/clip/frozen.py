"""What being frozen buys: BatchNorm folded into the convolution before it, and a gradient that needs only signs.

A frozen network with ReLUs is piecewise linear. Once the sign of every ReLU's output is known, its Jacobian is known,
so the gradient with respect to the *input* needs no activations and no weight gradients. The layers below therefore
come as pairs: a forward that may record signs on a tape, and a ``pull_back`` that maps an output gradient to the input
gradient, in the reverse order, from that tape.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

Tape = list[Tensor]
"""Signs of ReLU outputs (bool, True where positive), in the order in which the forward met them."""

BATCH_NORM_EPS = 1e-5  # torch's default, with which every CLIP ResNet was trained


class FrozenConv:
    """A convolution without trainable weights, its BatchNorm (if any) folded in.

    Args:
        tensors: state dict with ``{conv}.weight`` and, where ``norm`` is given, that BatchNorm's four tensors.
        conv: name of the convolution.
        norm: name of the BatchNorm that follows it, or ``None``.
        device: where the folded weights live.
        dtype: their dtype; folding itself is done in float64, so that it adds no rounding of its own.
        stride: of the convolution.
    """

    def __init__(
        self,
        tensors: Mapping[str, Tensor],
        conv: str,
        norm: str | None,
        device: torch.device,
        dtype: torch.dtype,
        stride: int = 1,
    ):
        weight = tensors[f"{conv}.weight"].to(device, torch.float64 if norm else dtype)
        self.bias: Tensor | None = None
        if norm:
            gamma, beta, mean, variance = (
                tensors[f"{norm}.{name}"].to(device, torch.float64)
                for name in ("weight", "bias", "running_mean", "running_var")
            )
            scale = gamma / (variance + BATCH_NORM_EPS).sqrt()
            weight = weight * scale[:, None, None, None]
            self.bias = (beta - mean * scale).to(dtype)
        self.weight = weight.to(dtype).contiguous(memory_format=torch.channels_last)
        self.stride = stride
        self.padding = self.weight.shape[-1] // 2 if stride < self.weight.shape[-1] else 0

    @property
    def out_channels(self) -> int:
        return self.weight.shape[0]

    def __call__(self, x: Tensor, pad_rows: bool = True) -> Tensor:
        """Convolve. With ``pad_rows=False`` the caller has supplied the rows above and below."""
        padding = (self.padding if pad_rows else 0, self.padding)
        return F.conv2d(x, self.weight, self.bias, self.stride, padding)

    def pull_back(self, grad: Tensor, size: tuple[int, int]) -> Tensor:
        """Gradient with respect to the input, whose height and width were ``size``."""
        kernel = self.weight.shape[-1]
        surplus = [
            full - ((part - 1) * self.stride - 2 * self.padding + kernel)
            for full, part in zip(size, grad.shape[-2:], strict=True)
        ]
        return F.conv_transpose2d(grad, self.weight, None, self.stride, self.padding, surplus)


def avg_pool(x: Tensor, stride: int) -> Tensor:
    """Average over ``stride`` × ``stride`` pixels; rows and columns left over are dropped, as CLIP does."""
    return F.avg_pool2d(x, stride) if stride > 1 else x


def pull_back_avg_pool(grad: Tensor, stride: int, size: tuple[int, int]) -> Tensor:
    """Gradient of :func:`avg_pool` with respect to its input, whose height and width were ``size``."""
    if stride == 1:
        return grad
    grad = F.interpolate(grad / stride**2, scale_factor=stride, mode="nearest")
    rows, columns = size[0] - grad.shape[-2], size[1] - grad.shape[-1]
    return F.pad(grad, (0, columns, 0, rows)) if rows or columns else grad
