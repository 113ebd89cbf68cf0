"""CLIP's ModifiedResNet (RN50, RN101, RN50x4, RN50x16, RN50x64) for images of any size."""

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from .attention_pool import AttentionPool
from .convolution import Convolution, RowMap, crop, cut
from .device import FrozenTensors, Part
from .gradient import anchor_of, forbid_double_backward, is_gradient_in_forward, needs_gradient
from .tracing import is_traced

Tape = list[Tensor]
"""Signs of ReLU outputs, packed by :func:`pack_signs`, in the order of the forward pass."""

UNCUT = 7
"""Maps of up to so many strips (images of up to 0.9 megapixels) are not cut: copying rows would cost more."""

_GATHER = 0x0102040810204080  # multiplied by eight bytes of 0 or 1, it gives their bits in the highest byte
_INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}


class ModifiedResNet:
    """Frozen image tower: normalised pixels ``(N, 3, H, W)`` to features, for H and W of at least 32.

    Source: Radford et al., ICML 2021, Sec. 2.4; Wang et al., AAAI 2023, Sec. 3.1 (no positional embedding).
    """

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
            moments.append(channel_moments(y.flatten(2).to(self.pool.dtype)))
        return self.pool(y, pos_embedding), torch.cat(moments, dim=1)


def channel_moments(x: Tensor) -> Tensor:
    """Return the mean and standard deviation of ``(N, C, L)`` over L: ``(N, 2 C)``."""
    mean = x.mean(2)
    deviation = ((x - mean[..., None]).square().mean(2) + 1e-12).sqrt()  # 1e-12 keeps gradients of constant maps finite
    return torch.cat([mean, deviation], dim=1)


class ResNetTrunk:
    """Stem and residual stages: ``(N, 3, H, W)`` to ``(N, C, H // 32, W // 32)``.

    A tape keeps the signs of ReLU outputs for ``pull_back``.
    """

    def __init__(self, tensors: FrozenTensors):
        self.stem = Stem(tensors)
        self.stages = [_stage(tensors, number) for number in (1, 2, 3, 4)]

    def __call__(self, x: Tensor, tape: Tape | None = None) -> Tensor:
        for last in self.maps(x, tape):  # noqa: B007
            pass
        return last

    def maps(self, x: Tensor, tape: Tape | None = None) -> Iterator[Tensor]:
        """Yield the maps after the stem and each stage; each map is valid until the next."""
        is_plain = is_traced() or needs_gradient(x)
        x = self.stem.plain(x) if is_plain else self.stem(x.contiguous(memory_format=torch.channels_last), tape)
        yield x
        for stage in self.stages:
            for block in stage:
                x = block.plain(x) if is_plain else block(x, tape)
            yield x

    def pull_back(self, grad: Tensor, tape: Tape, size: tuple[int, int]) -> Tensor:
        """Return the gradient of pixels of this ``size``; the tape is emptied."""
        grad = grad.contiguous(memory_format=torch.channels_last)
        for stage in reversed(self.stages):
            for block in reversed(stage):
                grad = block.pull_back(grad, tape)
        return self.stem.pull_back(grad, tape, size)


class Stem:
    """Three 3×3 convolutions, the first of stride 2, and a 2×2 average."""

    def __init__(self, tensors: FrozenTensors):
        self.convs = [
            _folded(tensors, f"visual.conv{i}", f"visual.bn{i}", stride=2 if i == 1 else 1) for i in (1, 2, 3)
        ]

    def __call__(self, x: Tensor, tape: Tape | None = None) -> Tensor:
        half, columns = ((side + 1) // 2 for side in x.shape[-2:])
        rows = half // 2
        out = RowMap(rows)
        signs = [RowMap(half) for _ in self.convs]
        strips = cut(x, rows, 4 * (columns // 2) * self.convs[-1].out_channels, UNCUT // 2 if tape is None else 1)
        for start, stop in strips:
            first = 2 * start
            last = half if stop == rows else 2 * stop
            y, low = x, 0  # the current map, and its row with which y begins
            for conv, sign, halo in zip(self.convs, signs, (2, 1, 0), strict=True):
                if len(strips) > 1:
                    top = max(first - halo, 0)
                    bottom = min(last + halo, half)
                    y = crop(y, conv.stride * top - 1 - low, conv.stride * (bottom - 1) + 2 - low)
                    low = top
                y = conv(y, len(strips) == 1, tape is not None)
                if tape is not None:
                    sign.append(pack_signs(y[:, :, first - low : last - low]))
            out.append(F.avg_pool2d(y, 2))
        if tape is not None:
            tape.extend(sign.whole for sign in signs)
        return out.whole

    def plain(self, x: Tensor) -> Tensor:
        for conv in self.convs:
            x = conv(x)
        return F.avg_pool2d(x, 2)

    def pull_back(self, grad: Tensor, tape: Tape, size: tuple[int, int]) -> Tensor:
        signs = [tape.pop() for _ in self.convs]
        rows = grad.shape[-2]
        half, columns = signs[0].shape[-2:]
        out = RowMap(size[0])
        for start, stop in cut(grad, rows, 4 * grad.shape[-1] * grad.shape[1]):
            first = 2 * start
            last = half if stop == rows else 2 * stop
            above = max(start - 1, 0)
            below = min(stop + 2, rows)
            # y holds these rows of the current map
            low = 2 * above
            high = half if below == rows else 2 * below
            y = pull_back_avg_pool(grad[:, :, above:below], 2, (high - low, columns))
            for conv, sign, halo in zip(reversed(self.convs), signs, (2, 1, 0), strict=True):
                top = max(first - halo, 0)
                bottom = min(last + halo + 1, half)
                y = keep_positive(y[:, :, top - low : bottom - low], sign[:, :, top:bottom])
                low = top
                if halo:
                    y = conv.pull_back(y)
            surplus = min(1, size[0] + 1 - 2 * bottom), size[1] + 1 - 2 * columns
            y = self.convs[0].pull_back(y, surplus)
            out.append(y if last == half else y[:, :, : 2 * (last - first)])
        return out.whole


class Bottleneck:
    """1×1, 3×3 and 1×1 convolutions beside a shortcut; the stride is average pooling after the second convolution."""

    def __init__(self, tensors: FrozenTensors, name: str, stride: int):
        self.reduce, self.spatial = (_folded(tensors, f"{name}.conv{i}", f"{name}.bn{i}") for i in (1, 2))
        self.expand = _folded(tensors, f"{name}.conv3", f"{name}.bn3", activation="none")
        self.shortcut = (
            _folded(tensors, f"{name}.downsample.0", f"{name}.downsample.1", activation="none")
            if f"{name}.downsample.0.weight" in tensors.raw
            else None
        )
        self.stride = stride

    def __call__(self, x: Tensor, tape: Tape | None = None) -> Tensor:
        """Return the output; ``x`` is overwritten unless the shortcut has a convolution."""
        is_plain = tape is not None
        height, width = x.shape[-2:]
        rows = height // self.stride
        out = RowMap(rows)
        signs = [RowMap(height), RowMap(height), RowMap(rows)]
        widest = max(x.shape[1], self.expand.out_channels)
        strips = cut(x, rows, self.stride * width * widest, UNCUT if tape is None else 1)
        done, above = 0, None  # number of rows of x that passed `reduce`, and its last two rows of output
        for start, stop in strips:
            first = start * self.stride
            last = height if stop == rows else stop * self.stride
            reduced = self.reduce(x[:, :, done : last + 1], is_plain=is_plain)
            done = last + 1
            if tape is not None:
                signs[0].append(pack_signs(reduced))
            if len(strips) > 1:
                zeros = torch.zeros_like(reduced[:, :, :1])
                reduced = torch.cat([zeros if above is None else above, reduced, zeros[:, :, : stop == rows]], dim=2)
                above = reduced[:, :, -2:].clone()
            y = self.spatial(reduced, len(strips) == 1, is_plain)
            if tape is not None:
                signs[1].append(pack_signs(y))
            y = avg_pool(y, self.stride)
            identity = x[:, :, first:last]
            if self.shortcut is None:
                y = self.expand(y, is_plain=is_plain, onto=identity)
            else:
                y = self.expand(y, is_plain=is_plain)
                y = self.shortcut(avg_pool(identity, self.stride), is_plain=is_plain, onto=y)
                out.append(y)
            if tape is not None:
                signs[2].append(pack_signs(y))
        if tape is not None:
            tape.extend(sign.whole for sign in signs)
        return x if self.shortcut is None else out.whole

    def plain(self, x: Tensor) -> Tensor:
        y = self.spatial(self.reduce(x))
        y = self.expand(avg_pool(y, self.stride))
        return (y + (x if self.shortcut is None else self.shortcut(avg_pool(x, self.stride)))).relu()

    def pull_back(self, grad: Tensor, tape: Tape) -> Tensor:
        """Return the input's gradient; ``grad`` is overwritten unless the shortcut has a convolution."""
        out_signs = tape.pop()
        spatial_signs = tape.pop()
        reduce_signs = tape.pop()
        rows = grad.shape[-2]
        height, width = reduce_signs.shape[-2:]
        row_size = self.stride * width * max(self.reduce.weight.shape[1], grad.shape[1])
        out = RowMap(height)
        done, above = 0, grad[:, :0, :0]  # number of rows of grad that passed `expand`, and its last rows of output
        for start, stop in cut(grad, rows, row_size):
            first = start * self.stride
            last = height if stop == rows else stop * self.stride
            ahead = min(stop + 1, rows)
            low = done * self.stride
            high = height if ahead == rows else ahead * self.stride
            y = keep_positive(grad[:, :, done:ahead], out_signs[:, :, done:ahead])
            y = pull_back_avg_pool(self.expand.pull_back(y), self.stride, (high - low, width))
            y = keep_positive(y, spatial_signs[:, :, low:high])
            done = ahead
            if start:
                y = torch.cat([above, y], dim=2)
                low = first - 1
            above = y[:, :, last - 1 - low :].clone()
            y = y[:, :, : last + 1 - low]
            y = self.spatial.pull_back(y)[:, :, first - low : last - low]
            y = keep_positive(y, reduce_signs[:, :, first:last])
            y = self.reduce.pull_back(y)
            if self.shortcut is None:
                grad[:, :, first:last].add_(y)
            else:
                identity = self.shortcut.pull_back(grad[:, :, start:stop])
                out.append(y.add_(pull_back_avg_pool(identity, self.stride, (last - first, width))))
        return grad if self.shortcut is None else out.whole


def _stage(tensors: FrozenTensors, number: int) -> list[Bottleneck]:
    blocks: list[Bottleneck] = []
    while f"{(name := f'visual.layer{number}.{len(blocks)}')}.conv1.weight" in tensors.raw:
        blocks.append(Bottleneck(tensors, name, stride=1 if blocks or number == 1 else 2))
    return blocks


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


def _folded(tensors: FrozenTensors, conv: str, norm: str, stride: int = 1, activation: str = "relu") -> Convolution:
    """Return a convolution into which BatchNorm is folded in float64; the result is rounded."""
    gamma, beta, mean, variance = (  # folded on the CPU, since not every device has float64
        tensors.raw[f"{norm}.{name}"].double() for name in ("weight", "bias", "running_mean", "running_var")
    )
    scale = gamma / (variance + 1e-5).sqrt()  # torch's default, with which every CLIP ResNet was trained
    weight = tensors.rounded(tensors.raw[f"{conv}.weight"].double() * scale[:, None, None, None])
    return Convolution(weight, tensors.rounded(beta - mean * scale), stride, activation)


def avg_pool(x: Tensor, stride: int) -> Tensor:
    return F.avg_pool2d(x, stride) if stride > 1 else x


def pull_back_avg_pool(grad: Tensor, stride: int, size: tuple[int, int]) -> Tensor:
    if stride == 1:
        return grad
    grad = F.interpolate(grad / stride**2, scale_factor=stride, mode="nearest")
    rows = size[0] - grad.shape[-2]
    columns = size[1] - grad.shape[-1]
    return F.pad(grad, (0, columns, 0, rows)) if rows or columns else grad


def pack_signs(y: Tensor) -> Tensor:
    """Return bits ``(N, C / 8, H, W)``, 1 where ReLU outputs ``(N, C, H, W)`` are positive."""
    flags = y.bool().permute(0, 2, 3, 1).contiguous()  # y is never negative; bool() is faster than y > 0
    bits = flags.reshape(-1).view(torch.int64) * _GATHER >> 56  # flattened: axes of length 1 may have any stride
    return bits.to(torch.uint8).view(*flags.shape[:-1], -1).permute(0, 3, 1, 2)


def keep_positive(grad: Tensor, signs: Tensor) -> Tensor:
    """Set ``grad`` to zero, in place, where the ReLU output was not positive."""
    packed = signs.permute(0, 2, 3, 1)  # (N, H, W, C / 8)
    masks = _spread_table(grad.device).index_select(0, packed.reshape(-1).int()).view(torch.int8)
    masks = masks.view(*packed.shape[:3], -1).permute(0, 3, 1, 2)  # 0: no bit is set; -1: all bits are set
    grad.view(_INTEGERS[grad.element_size()]).bitwise_and_(masks)  # faster than multiplication, above all in bf16
    return grad


@cache
def _spread_table(device: torch.device) -> Tensor:
    """Return, for each byte, its eight bits as int8 of 0 or -1, packed into one int64."""
    with torch.inference_mode(False):
        bits = torch.arange(256, device=device)[:, None] >> torch.arange(8, device=device) & 1  # (256, 8)
        return bits.to(torch.int8).neg().view(torch.int64)[:, 0]
