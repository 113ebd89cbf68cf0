"""The parts of CLIP's ModifiedResNet: its stem and its residual blocks, each with its gradient."""

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from .convolution import Convolution
from .frozen_tensors import FrozenTensors
from .relu_signs import Tape, pack_signs, zero_where_not_positive
from .strips import Band, RowMap, Strip, cut, widened

UNCUT = 7
"""Maps of up to so many strips (images of up to 0.9 megapixels) are not cut: copying rows would cost more."""

# A strip (#) of the stem on a map that is cut. A 3×3 convolution reads a row more on each side than it gives:
#
#     output of conv1    --########--    two rows more than the strip
#     output of conv2     -########-     one
#     output of conv3      ########      none; two rows each are averaged
_HALOS = (2, 1, 0)
"""Rows that each of the stem's convolutions gives beyond a strip, above and below."""


class Stem:
    """Three 3×3 convolutions, the first of stride 2, and a 2×2 average."""

    def __init__(self, tensors: FrozenTensors):
        self.convs = [
            _folded(tensors, f"visual.conv{i}", f"visual.bn{i}", stride=2 if i == 1 else 1) for i in (1, 2, 3)
        ]

    def __call__(self, x: Tensor, tape: Tape | None = None) -> Tensor:
        height, width = ((side + 1) // 2 for side in x.shape[-2:])  # of the maps before the average
        averages = RowMap(height // 2)
        signs = [RowMap(height) for _ in self.convs]
        row_size = 4 * (width // 2) * self.convs[-1].out_channels
        strips = cut(x, height // 2, row_size, UNCUT // 2 if tape is None else 1)
        for strip in strips:
            rows = strip.before_pooling(2, height)
            band = Band(x, 0)
            for conv, sign_map, halo in zip(self.convs, signs, _HALOS, strict=True):
                if len(strips) > 1:
                    needed = widened(rows, halo, halo, height)
                    y = conv(band.padded_part(_read_rows(needed, conv)), has_padded_rows=False, can_pack=tape is None)
                    band = Band(y, needed.start)
                else:
                    band = Band(conv(band.tensor, can_pack=tape is None), 0)
                if tape is not None:
                    sign_map.append(pack_signs(band.part(rows)))
            averages.append(F.avg_pool2d(band.tensor, 2))
        if tape is not None:
            tape.extend(sign_map.whole for sign_map in signs)
        return averages.whole

    def differentiable(self, x: Tensor) -> Tensor:
        """Return the output by operations that torch differentiates and traces."""
        for conv in self.convs:
            x = conv(x)
        return F.avg_pool2d(x, 2)

    def pull_back(self, grad: Tensor, tape: Tape, size: tuple[int, int]) -> Tensor:
        """Return the gradient of pixels of this ``size``.

        The last pixels of a strip change one row beyond it on the first map, two on the second and three on the third,
        and the first pixels one row less above it.
        """
        signs_3, signs_2, signs_1 = (tape.pop() for _ in self.convs)
        conv_1, conv_2, conv_3 = self.convs
        height, width = signs_3.shape[-2:]  # of the maps before the average
        pixel_grads = RowMap(size[0])
        for strip in cut(grad, grad.shape[-2], 4 * grad.shape[-1] * grad.shape[1]):
            rows = strip.before_pooling(2, height)
            averages = strip.widened(1, 2, grad.shape[-2])  # all that the strip's pixels change
            averaged = averages.before_pooling(2, height)
            y = pull_back_avg_pool(grad[:, :, averages.rows], 2, (averaged.stop - averaged.start, width))
            band = Band(y, averaged.start)
            for conv, signs, above in ((conv_3, signs_3, 2), (conv_2, signs_2, 1)):
                changed = widened(rows, above, above + 1, height)
                y = zero_where_not_positive(band.part(changed), signs[:, :, changed])
                band = Band(conv.pull_back(y), changed.start)
            changed = widened(rows, 0, 1, height)
            y = zero_where_not_positive(band.part(changed), signs_1[:, :, changed])
            surplus = min(1, size[0] + 1 - 2 * changed.stop), size[1] + 1 - 2 * width
            y = conv_1.pull_back(y, surplus)
            pixel_grads.append(y if strip.is_last else y[:, :, : 2 * (rows.stop - rows.start)])
        return pixel_grads.whole


def _read_rows(rows: slice, conv: Convolution) -> slice:
    """Return the rows of its input, beyond the edges too, from which a 3×3 convolution makes these rows."""
    return slice(conv.stride * rows.start - 1, conv.stride * (rows.stop - 1) + 2)


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
        pooled_height = height // self.stride
        outputs = RowMap(pooled_height)
        reduced_signs = RowMap(height)
        spatial_signs = RowMap(height)
        output_signs = RowMap(pooled_height)
        row_size = self.stride * width * max(x.shape[1], self.expand.out_channels)
        strips = cut(x, pooled_height, row_size, UNCUT if tape is None else 1)
        reduced_strips = self._reduced(x, strips, None if tape is None else reduced_signs)
        for strip, reduced in zip(strips, reduced_strips, strict=True):
            y = self.spatial(reduced, has_padded_rows=len(strips) == 1, can_pack=can_pack)
            if tape is not None:
                spatial_signs.append(pack_signs(y))
            y = avg_pool(y, self.stride)
            identity = x[:, :, strip.before_pooling(self.stride, height)]
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
        """Yield each strip after the first convolution, with a row more above and below; the only strip as it is.

        Each row of ``x`` is read once, before the caller overwrites it. Three strips of a map of nine rows:

            rows 0 to 2: reads 0 1 2 3, yields - 0 1 2 3    (-: zeros beyond the edge)
            rows 3 to 5: reads 4 5 6,   yields 2 3 4 5 6
            rows 6 to 8: reads 7 8,     yields 5 6 7 8 -
        """
        height = x.shape[-2]
        rows_read = 0
        shared: Tensor | None = None  # the two rows that a strip has in common with the one before
        for strip in strips:
            stop_reading = strip.before_pooling(self.stride, height).stop + 1
            reduced = self.reduce(x[:, :, rows_read:stop_reading], can_pack=sign_map is None)
            rows_read = stop_reading
            if sign_map is not None:
                sign_map.append(pack_signs(reduced))
            if len(strips) > 1:
                zeros = torch.zeros_like(reduced[:, :, :1])
                above = zeros if shared is None else shared
                reduced = torch.cat([above, reduced, zeros] if strip.is_last else [above, reduced], dim=2)
                shared = reduced[:, :, -2:].clone()
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
        for strip, band in zip(strips, spatial_grads, strict=True):
            rows = strip.before_pooling(self.stride, height)
            y = Band(self.spatial.pull_back(band.tensor), band.start).part(rows)
            y = zero_where_not_positive(y, reduced_signs[:, :, rows])
            y = self.reduce.pull_back(y)
            if self.shortcut is None:
                grad[:, :, rows].add_(y)
            else:
                identity = self.shortcut.pull_back(grad[:, :, strip.rows])
                input_grads.append(y.add_(pull_back_avg_pool(identity, self.stride, (rows.stop - rows.start, width))))
        return grad if self.shortcut is None else input_grads.whole

    def _spatial_grads(
        self, grad: Tensor, strips: list[Strip], output_signs: Tensor, spatial_signs: Tensor
    ) -> Iterator[Band]:
        """Yield the gradient of each strip before the second convolution's ReLU, with a row more above and below.

        Each row of ``grad`` is read once, before the caller overwrites it, and set to zero where the output was not
        positive. Three strips of a map of nine rows, without pooling:

            rows 0 to 2: reads 0 1 2 3, yields   0 1 2 3
            rows 3 to 5: reads 4 5 6,   yields 2 3 4 5 6
            rows 6 to 8: reads 7 8,     yields 5 6 7 8
        """
        height, width = spatial_signs.shape[-2:]
        pooled_height = grad.shape[-2]
        rows_read = 0
        shared: Tensor | None = None  # the rows that a strip has in common with the one before, from the row above it
        for strip in strips:
            stop_reading = min(strip.stop + 1, pooled_height)
            unread = Strip(rows_read, stop_reading, stop_reading == pooled_height)
            rows_read = stop_reading
            unpooled = unread.before_pooling(self.stride, height)
            y = zero_where_not_positive(grad[:, :, unread.rows], output_signs[:, :, unread.rows])
            y = pull_back_avg_pool(self.expand.pull_back(y), self.stride, (unpooled.stop - unpooled.start, width))
            y = zero_where_not_positive(y, spatial_signs[:, :, unpooled])
            rows = strip.before_pooling(self.stride, height)
            needed = widened(rows, 1, 1, height)
            band = Band(y if shared is None else torch.cat([shared, y], dim=2), needed.start)
            shared = band.part(slice(rows.stop - 1, height)).clone()
            yield Band(band.part(needed), needed.start)


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
