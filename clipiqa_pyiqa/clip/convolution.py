"""Frozen convolutions, computed from packed weights if no gradient is needed."""

import torch
import torch.nn.functional as F
from torch import Tensor

from .gradient import needs_gradient
from .packed_convolution import PackedConvolution
from .packing_trial import HAS_ONEDNN, packing_failure
from .tracing import is_traced

_ONEDNN_FROM = 20480  # numbers in the map of one image; for smaller maps torch does not use oneDNN


class Convolution:
    """A frozen convolution of ``(N, C, H, W)`` and its activation; depthwise if its weight has one input channel.

    Scoring in fp32 or bf16 on a CPU keeps only the packed weight. A gradient or trace unpacks it, bit for bit, and
    keeps it unpacked. Threads share a convolution.
    """

    def __init__(self, weight: Tensor, bias: Tensor, stride: int, activation: str, padding: int | None = None):
        """``padding``: rows and columns of zeros on each side; by default those that keep the size at stride 1."""
        self.kernel = weight.shape[-1]
        self.padding = self.kernel // 2 if padding is None else padding
        self.out_channels = weight.shape[0]
        self.groups = self.out_channels if weight.shape[1] == 1 else 1
        self.bias = bias
        self.stride = stride
        self.activation = activation
        self._packed = PackedConvolution(weight, bias, stride, self.groups, activation)

    @property
    def weight(self) -> Tensor:
        """The weight ``(O, I / groups, k, k)``, not packed."""
        return self._packed.weight

    def __call__(
        self, x: Tensor, has_padded_rows: bool = True, can_pack: bool = True, onto: Tensor | None = None
    ) -> Tensor:
        """Return the activated output, computed from packed weights if possible.

        Args:
            has_padded_rows: add rows of zeros at the top and bottom.
            can_pack: whether weights may be packed; False where the caller's gradient needs the plain weights.
            onto: a map to which the output is added in place; the sum passes a ReLU.
        """
        padding = self.padding if has_padded_rows else 0, self.padding
        if can_pack and _takes_packed_weights(x):
            return self._packed(x, padding, onto)
        return self._plain_output(x, padding, onto)

    def _plain_output(self, x: Tensor, padding: tuple[int, int], onto: Tensor | None) -> Tensor:
        dilation = idle_dilation(x, self.kernel)
        y = F.conv2d(x, self.weight, self.bias, self.stride, padding, dilation, self.groups)
        if onto is not None:
            return onto.add_(y).relu_()
        if self.activation == "none":
            return y
        activate = getattr(F, self.activation)  # relu or relu6
        return activate(y, inplace=not (y.requires_grad or is_traced()))

    def pull_back(self, grad: Tensor, surplus: tuple[int, int] = (0, 0)) -> Tensor:
        """Return the input's gradient from that of the output before its activation.

        ``surplus``: the input's rows and columns beyond those of the transposed convolution; only stride 2 leaves some.
        """
        dilation = idle_dilation(grad, self.kernel)
        return F.conv_transpose2d(grad, self.weight, None, self.stride, self.padding, surplus, 1, dilation)


def _takes_packed_weights(x: Tensor) -> bool:
    """Return whether convolutions of ``x`` are computed from packed weights, which give no derivative and no trace."""
    if not x.is_cpu or x.dtype == torch.float64 or needs_gradient(x) or is_traced():
        return False
    return not packing_failure(x.dtype)


def idle_dilation(x: Tensor, kernel: int) -> int:
    """Return 2 for a 1×1 kernel that torch computes faster if dilated, else 1."""
    if kernel > 1 or x.dtype != torch.float32 or x.device.type != "cpu" or torch.get_num_threads() > 1:
        return 1
    return 2 if HAS_ONEDNN and not is_traced() and (len(x) > 1 or x.numel() > _ONEDNN_FROM) else 1
