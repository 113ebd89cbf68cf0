"""The parts of CLIP's ModifiedResNet: its stem and its residual blocks, each with its gradient."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from .convolution import Convolution
from .frozen_tensors import FrozenTensors
from .relu_signs import Tape, pack_signs, zero_where_not_positive
from .strips import RowMap, Strip, crop, cut

UNCUT = 7
"""Maps of up to so many strips (images of up to 0.9 megapixels) are not cut: copying rows would cost more."""

_HALOS = (2, 1, 0)
"""Rows beyond a strip that each of the stem's convolutions gives, as each 3×3 convolution after it reads one more."""


class Stem:
    """Three 3×3 convolutions, the first of stride 2, and a 2×2 average."""

    def __init__(self, tensors: FrozenTensors):
        self.convs = [
            _folded(tensors, f"visual.conv{i}", f"visual.bn{i}", stride=2 if i == 1 else 1) for i in (1, 2, 3)
        ]

    def __call__(self, x: Tensor, tape: Tape | None = None) -> Tensor:
        full_rows, full_columns = ((side + 1) // 2 for side in x.shape[-2:])  # of the maps before the average
        rows = full_rows // 2
        averages = RowMap(rows)
        signs = [RowMap(full_rows) for _ in self.convs]
        row_size = 4 * (full_columns // 2) * self.convs[-1].out_channels
        strips = cut(x, rows, row_size, UNCUT // 2 if tape is None else 1)
        for strip in strips:
            start, stop = strip.before_pooling(2, full_rows)
            y = x
            y_start = 0  # the row of its whole map with which y begins
            for conv, sign_map, halo in zip(self.convs, signs, _HALOS, strict=True):
                if len(strips) > 1:  # later convolutions need `halo` rows beyond the strip
                    halo_start = max(start - halo, 0)
                    halo_stop = min(stop + halo, full_rows)
                    y = crop(y, conv.stride * halo_start - 1 - y_start, conv.stride * (halo_stop - 1) + 2 - y_start)
                    y_start = halo_start
                y = conv(y, has_padded_rows=len(strips) == 1, can_pack=tape is None)
                if tape is not None:
                    sign_map.append(pack_signs(y[:, :, start - y_start : stop - y_start]))
            averages.append(F.avg_pool2d(y, 2))
        if tape is not None:
            tape.extend(sign_map.whole for sign_map in signs)
        return averages.whole

    def differentiable(self, x: Tensor) -> Tensor:
        """Return the output by operations that torch differentiates and traces."""
        for conv in self.convs:
            x = conv(x)
        return F.avg_pool2d(x, 2)

    def pull_back(self, grad: Tensor, tape: Tape, size: tuple[int, int]) -> Tensor:
        """Return the gradient of pixels of this ``size``."""
        signs = [tape.pop() for _ in self.convs]  # of the last convolution first
        rows = grad.shape[-2]
        full_rows, full_columns = signs[0].shape[-2:]
        pixel_grads = RowMap(size[0])
        for strip in cut(grad, rows, 4 * grad.shape[-1] * grad.shape[1]):
            start, stop = strip.before_pooling(2, full_rows)
            seen = strip.widened(1, 2, rows)  # what the strip's pixels changed, through the three convolutions
            y_start, y_stop = seen.before_pooling(2, full_rows)
            y = pull_back_avg_pool(grad[:, :, seen.start : seen.stop], 2, (y_stop - y_start, full_columns))
            for conv, sign, halo in zip(reversed(self.convs), signs, _HALOS, strict=True):
                halo_start = max(start - halo, 0)
                halo_stop = min(stop + halo + 1, full_rows)
                y = y[:, :, halo_start - y_start : halo_stop - y_start]
                y = zero_where_not_positive(y, sign[:, :, halo_start:halo_stop])
                y_start = halo_start
                if halo:
                    y = conv.pull_back(y)
            surplus = min(1, size[0] + 1 - 2 * halo_stop), size[1] + 1 - 2 * full_columns
            y = self.convs[0].pull_back(y, surplus)
            pixel_grads.append(y if strip.is_last else y[:, :, : 2 * (stop - start)])
        return pixel_grads.whole


class Bottleneck:
    """1×1, 3×3 and 1×1 convolutions beside a shortcut; the stride is average pooling after the second convolution."""

    def __init__(self, tensors: FrozenTensors, name: str, stride: int):
        self.reduce, self.spatial = (_folded(tensors, f"{name}.conv{i}", f"{name}.bn{i}") for i in (1, 2))
        self.expand = _folded(tensors, f"{name}.conv3", f"{name}.bn3", activation="none")
        self.shortcut = (
            _folded(tensors, f"{name}.downsample.0", f"{name}.downsample.1", activation="none")
            if f"{name}.downsample.0.weight" in tensors.checkpoint
            else None
        )
        self.stride = stride

    def __call__(self, x: Tensor, tape: Tape | None = None) -> Tensor:
        """Return the output; ``x`` is overwritten unless the shortcut has a convolution."""
        can_pack = tape is None
        height, width = x.shape[-2:]
        rows = height // self.stride
        outputs = RowMap(rows)
        reduced_signs = RowMap(height)
        spatial_signs = RowMap(height)
        output_signs = RowMap(rows)
        row_size = self.stride * width * max(x.shape[1], self.expand.out_channels)
        strips = cut(x, rows, row_size, UNCUT if tape is None else 1)
        reduced_strips = self._reduced(x, strips, None if tape is None else reduced_signs)
        for strip, reduced in zip(strips, reduced_strips, strict=True):
            y = self.spatial(reduced, has_padded_rows=len(strips) == 1, can_pack=can_pack)
            if tape is not None:
                spatial_signs.append(pack_signs(y))
            y = avg_pool(y, self.stride)
            start, stop = strip.before_pooling(self.stride, height)
            identity = x[:, :, start:stop]
            if self.shortcut is None:
                y = self.expand(y, can_pack=can_pack, onto=identity)
            else:
                y = self.expand(y, can_pack=can_pack)
                y = self.shortcut(avg_pool(identity, self.stride), can_pack=can_pack, onto=y)
                outputs.append(y)
            if tape is not None:
                output_signs.append(pack_signs(y))
        if tape is not None:
            tape += [reduced_signs.whole, spatial_signs.whole, output_signs.whole]
        return x if self.shortcut is None else outputs.whole

    def _reduced(self, x: Tensor, strips: list[Strip], sign_map: RowMap | None) -> Iterator[Tensor]:
        """Yield, for each of several strips, its rows after the first convolution, and a row more above and below.

        Each row of ``x`` is read once, before the caller overwrites it. Beyond the edges are zeros; the only strip of
        a map is yielded as it is.
        """
        height = x.shape[-2]
        rows_read = 0
        last_rows: Tensor | None = None  # of the strip before, which the next one begins with
        for strip in strips:
            _, stop = strip.before_pooling(self.stride, height)
            reduced = self.reduce(x[:, :, rows_read : stop + 1], can_pack=sign_map is None)
            rows_read = stop + 1
            if sign_map is not None:
                sign_map.append(pack_signs(reduced))
            if len(strips) > 1:
                zeros = torch.zeros_like(reduced[:, :, :1])
                above = zeros if last_rows is None else last_rows
                reduced = torch.cat([above, reduced, zeros] if strip.is_last else [above, reduced], dim=2)
                last_rows = reduced[:, :, -2:].clone()
            yield reduced

    def differentiable(self, x: Tensor) -> Tensor:
        """Return the output by operations that torch differentiates and traces."""
        y = self.spatial(self.reduce(x))
        y = self.expand(avg_pool(y, self.stride))
        identity = x if self.shortcut is None else self.shortcut(avg_pool(x, self.stride))
        return (y + identity).relu()

    def pull_back(self, grad: Tensor, tape: Tape) -> Tensor:
        """Return the input's gradient; ``grad`` is overwritten unless the shortcut has a convolution."""
        output_signs = tape.pop()
        spatial_signs = tape.pop()
        reduced_signs = tape.pop()
        height, width = reduced_signs.shape[-2:]
        row_size = self.stride * width * max(self.reduce.weight.shape[1], grad.shape[1])
        strips = cut(grad, grad.shape[-2], row_size)
        input_grads = RowMap(height)
        spatial_grads = self._spatial_grads(grad, strips, output_signs, spatial_signs)
        for strip, (y, y_start) in zip(strips, spatial_grads, strict=True):
            start, stop = strip.before_pooling(self.stride, height)
            y = self.spatial.pull_back(y)[:, :, start - y_start : stop - y_start]
            y = zero_where_not_positive(y, reduced_signs[:, :, start:stop])
            y = self.reduce.pull_back(y)
            if self.shortcut is None:
                grad[:, :, start:stop].add_(y)
            else:
                identity = self.shortcut.pull_back(grad[:, :, strip.start : strip.stop])
                input_grads.append(y.add_(pull_back_avg_pool(identity, self.stride, (stop - start, width))))
        return grad if self.shortcut is None else input_grads.whole

    def _spatial_grads(
        self, grad: Tensor, strips: list[Strip], output_signs: Tensor, spatial_signs: Tensor
    ) -> Iterator[tuple[Tensor, int]]:
        """Yield, for each strip, the gradient before the second convolution's ReLU, and the row with which it begins.

        It has a row more above and below, if the map has them. Each row of ``grad`` is read once, before the caller
        overwrites it, and set to zero where the output was not positive.
        """
        height, width = spatial_signs.shape[-2:]
        rows = grad.shape[-2]
        rows_read = 0
        last_rows: Tensor | None = None  # of the strip before, which the next one begins with
        for strip in strips:
            stop_reading = min(strip.stop + 1, rows)
            unread = Strip(rows_read, stop_reading, stop_reading == rows)
            rows_read = stop_reading
            unread_start, unread_stop = unread.before_pooling(self.stride, height)
            y = grad[:, :, unread.start : unread.stop]
            y = zero_where_not_positive(y, output_signs[:, :, unread.start : unread.stop])
            y = pull_back_avg_pool(self.expand.pull_back(y), self.stride, (unread_stop - unread_start, width))
            y = zero_where_not_positive(y, spatial_signs[:, :, unread_start:unread_stop])
            start, stop = strip.before_pooling(self.stride, height)
            y_start = unread_start
            if last_rows is not None:
                y = torch.cat([last_rows, y], dim=2)
                y_start = start - 1
            last_rows = y[:, :, stop - 1 - y_start :].clone()
            yield y[:, :, : stop + 1 - y_start], y_start


def _folded(tensors: FrozenTensors, conv: str, norm: str, stride: int = 1, activation: str = "relu") -> Convolution:
    """Return a convolution into which BatchNorm is folded in float64; the result is rounded."""
    gamma, beta, mean, variance = (  # folded on the CPU, since not every device has float64
        tensors.checkpoint[f"{norm}.{name}"].double() for name in ("weight", "bias", "running_mean", "running_var")
    )
    scale = gamma / (variance + 1e-5).sqrt()  # torch's default, with which every CLIP ResNet was trained
    weight = tensors.rounded(tensors.checkpoint[f"{conv}.weight"].double() * scale[:, None, None, None])
    return Convolution(weight, tensors.rounded(beta - mean * scale), stride, activation)


def avg_pool(x: Tensor, stride: int) -> Tensor:
    """Return the means of squares of ``stride`` rows and columns; incomplete squares are left out."""
    return F.avg_pool2d(x, stride) if stride > 1 else x


def pull_back_avg_pool(grad: Tensor, stride: int, size: tuple[int, int]) -> Tensor:
    """Return the gradient of the input of :func:`avg_pool`, which has this height and width."""
    if stride == 1:
        return grad
    grad = F.interpolate(grad / stride**2, scale_factor=stride, mode="nearest")
    rows = size[0] - grad.shape[-2]
    columns = size[1] - grad.shape[-1]
    return F.pad(grad, (0, columns, 0, rows)) if rows or columns else grad
