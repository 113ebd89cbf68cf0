"""From moments to features: mean and log standard deviation of every channel, asked by one to three layers.

Taken over a whole map they describe the image; taken over cells of 32 px with their eight neighbours they describe each
place of it, and the same layers turn either into a feature.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..gradient import is_traced
from .moments import Cells

CHANNELS = 768
CPU_BAND_CELLS = 1024
"""About how many channels and cells of the dense features are worked on at once: what stays in a core's cache."""


class Readout:
    """From statistics to a feature: standardised, one to three layers. The first one takes the standardising in.

    Args:
        tensors: with ``visual.statistics.{mean,scale}`` (S,), ``visual.proj.{weight,bias}`` (D, S) and, for two layers
            with a ReLU between, ``visual.hidden.{weight,bias}`` (K, S); S holds all means, then all log deviations.
            Where the hidden units ask little of so many statistics, ``visual.answers.{weight,bias}`` (R, S) come before
            them, with nothing between, and hidden is (K, R).
        centres: ``(C,)`` of each map, by how much it lies lower than those the statistics were taken of.
        eps: added to each variance before its logarithm is taken.
        device: where to compute.
        dtype: fp32 or float64.
    """

    def __init__(
        self,
        tensors: Mapping[str, Tensor],
        centres: Sequence[Tensor],
        eps: float,
        device: torch.device,
        dtype: torch.dtype,
    ):
        def load(name: str) -> Tensor:
            return tensors[f"visual.{name}"].double()

        first, *rest = (name for name in ("answers", "hidden", "proj") if f"visual.{name}.weight" in tensors)
        weight = load(f"{first}.weight") / load("statistics.scale")
        offset = load("statistics.mean") - torch.cat([*centres, *map(torch.zeros_like, centres)])
        bias = load(f"{first}.bias") - weight @ offset
        self.bias = bias.to(device, dtype)
        self.dense_bias = (bias + weight.chunk(2, dim=1)[1].sum(1) * math.log(eps) / 2).to(device, dtype)
        self.of_means, self.of_deviations = (part.to(device, dtype).contiguous() for part in weight.chunk(2, dim=1))
        self.rest = [
            (load(f"{name}.weight").to(device, dtype), load(f"{name}.bias").to(device, dtype), name == "proj")
            for name in rest
        ]
        self.eps = eps

    def __call__(self, moments: Tensor) -> Tensor:
        """Moments ``(N, 2, C)`` to features ``(N, D)``."""
        mean, deviation = self.statistics(moments)
        return self._end(F.linear(mean, self.of_means, self.bias) + F.linear(deviation, self.of_deviations))

    def statistics(self, moments: Tensor) -> tuple[Tensor, Tensor]:
        """Means, from the file's on, and log deviations, ``(N, C, …)`` each, of moments ``(N, 2, C, …)``."""
        mean, square = moments.unbind(1)
        variance = torch.addcmul(square, mean, mean, value=-1.0).to(self.bias.dtype)
        return mean.to(self.bias.dtype), variance.clamp(min=0).add(self.eps).log() / 2

    def dense(self, cells: Sequence[Cells]) -> Tensor:
        """Cells of each map to features of cells with their neighbours, ``(N, D, h, w)``."""
        cells = _side_by_side(cells)
        rows, columns = cells[0].mean.shape[2:]
        if is_traced() or cells[0].mean.device.type != "cpu":
            return self._band(cells, 0, rows).permute(0, 3, 1, 2)  # (N, h, w, D) -> (N, D, h, w)
        step = max(1, CPU_BAND_CELLS // columns)
        edges = [*range(0, rows, step), rows]
        bands = [self._band(cells, start, stop) for start, stop in itertools.pairwise(edges)]
        return torch.cat(bands, dim=1).permute(0, 3, 1, 2)

    def _band(self, cells: Sequence[Cells], start: int, stop: int) -> Tensor:
        """Rows ``start`` to ``stop`` of the dense features, ``(N, rows, w, D)``."""
        above, below = max(start - 1, 0), min(stop + 1, cells[0].mean.shape[2])
        kept = slice(start - above, stop - above)
        around = Neighbours(below - above, cells[0].mean, self.eps)
        of_means = of_variances = cells[0].mean.new_zeros(())
        widths = [each.mean.shape[1] for each in cells]
        weights = (part.split(widths, dim=1) for part in (self.of_means, self.of_deviations / 2))
        for of_map, of_mean, of_logarithm in zip(cells, *weights, strict=True):
            mean, variance = (part[:, :, above:below] for part in of_map)
            # an average over neighbours is linear: of means it may be taken of the few answers instead
            of_means = of_means + _asked(mean, of_mean)
            variance = around.variance(mean, variance)[:, :, kept]
            logarithm = torch.log1p(variance, out=_into(variance))  # two thirds of the time of log(variance + eps)
            of_variances = of_variances + _asked(logarithm, of_logarithm)
        answers = around.average(of_means)[:, :, kept] + of_variances
        return self._end(answers.permute(0, 2, 3, 1) + self.dense_bias)

    def _end(self, x: Tensor) -> Tensor:
        for weight, bias, after_relu in self.rest:
            x = F.linear(x.relu() if after_relu else x, weight, bias)
        return x


def _side_by_side(cells: Sequence[Cells]) -> list[Cells]:
    """The same with maps of few channels side by side: else much of the work is in starting small operations."""
    runs: list[list[Cells]] = []
    for each in cells:
        last = runs[-1] if runs else []
        alike = last and (last[0].variance.shape[1] > 0) == (each.variance.shape[1] > 0)
        if alike and sum(one.mean.shape[1] for one in (*last, each)) <= CHANNELS:
            last.append(each)
        else:
            runs.append([each])
    return [
        Cells(*(torch.cat(parts, dim=1) for parts in zip(*run, strict=True))) if run[1:] else run[0] for run in runs
    ]


def _asked(values: Tensor, weight: Tensor) -> Tensor:
    """What the rows of ``weight`` (R, C) say of each place of ``(N, C, h, w)``: ``(N, R, h, w)``."""
    images, _, rows, columns = values.shape
    answers = weight @ values.permute(0, 2, 3, 1).flatten(0, 2).t()  # (R, N h w)
    return answers.unflatten(1, (images, rows, columns)).transpose(0, 1)


def _into(x: Tensor) -> Tensor | None:
    """``x`` as room for a result, unless a gradient or a trace may need it as it is."""
    return None if torch.is_grad_enabled() or is_traced() else x


class Neighbours:
    """Each place of ``(N, C, h, w)`` together with its eight neighbours; at the border, with those that there are.

    Args:
        rows: h.
        like: a tensor with w columns, of the kind that will come.
        unit: of the variances.
    """

    def __init__(self, rows: int, like: Tensor, unit: float):
        counts = [
            _with_next(like.new_ones((1, 1, *size)), axis) for axis, size in ((2, (rows, 1)), (3, (1, like.shape[3])))
        ]
        self._counts = dict(zip((2, 3), counts, strict=True))  # how many there are, (1, 1, h, 1) and (1, 1, 1, w)
        # The sum of all pairs' squared differences is 3/2 of _squares for three places, 3/4 for two.
        self._rows, self._columns = ((count - 1) * 3 / (4 * count**2) for count in counts)
        self._rows, self._columns = self._rows / unit, self._columns / counts[0] / unit
        self._all = 1 / (counts[0] * counts[1] * unit)

    def average(self, x: Tensor) -> Tensor:
        """Mean of the values."""
        for axis, count in self._counts.items():
            x = _with_next(x, axis) / count
        return x

    def variance(self, mean: Tensor, within: Tensor) -> Tensor:
        """Variance over cells, from :class:`Cells`, in units.

        Of two or three values it follows from their differences, which loses nothing where they lie close together, so
        that fp32 does: that along rows, averaged over them, that of the rows' means, and the average of those within.
        """
        slope, bend = _differences(mean, 3)
        along = _squares(slope, bend)
        across = _squares(*_differences(torch.addcmul(mean, bend, 1 / self._counts[3], out=_into(bend)), 2))
        found = _add_sums(across.mul_(self._rows), along, self._columns)
        return _add_sums(found, _with_next(within, 3), self._all) if within.shape[1] else found


def _differences(x: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """Between each place's neighbours along an axis, and between both and the place; 0 where there is none."""
    size = x.shape[axis]
    steps = _padded(x.narrow(axis, 1, size - 1) - x.narrow(axis, 0, size - 1), axis)
    before, after = steps.narrow(axis, 0, size), steps.narrow(axis, 1, size)
    return before + after, after - before


def _squares(slope: Tensor, bend: Tensor) -> Tensor:
    return torch.mul(slope, slope, out=_into(slope)).addcmul_(bend, bend, value=1 / 3)


def _add_sums(x: Tensor, other: Tensor, weight: Tensor) -> Tensor:
    """``x``, overwritten, plus ``weight`` times each row of ``other`` and its neighbours."""
    if _into(x) is None:
        return x.addcmul_(_with_next(other, 2), weight)
    x.addcmul_(other, weight)
    weight, size = weight.expand(-1, -1, x.shape[2], -1), x.shape[2] - 1
    for into, of in ((0, 1), (1, 0)):
        x.narrow(2, into, size).addcmul_(other.narrow(2, of, size), weight.narrow(2, into, size))
    return x


def _with_next(x: Tensor, axis: int) -> Tensor:
    """Each place plus its neighbours along an axis."""
    size, x = x.shape[axis], _padded(x, axis)
    return (x.narrow(axis, 0, size) + x.narrow(axis, 1, size)).add_(x.narrow(axis, 2, size))


def _padded(x: Tensor, axis: int) -> Tensor:
    return F.pad(x, (1, 1) if axis == 3 else (0, 0, 1, 1))
