"""EfficientNet-Lite for images of any size as a CLIP image tower: the feature is made of the statistics of its maps.

Source: Tan and Le, ICML 2019; the Lite variants (ReLU6, no squeeze-and-excitation) are Google's. BatchNorm is folded
into the convolutions in the file. Every block's output is a tap, and so is that of the head behind them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..device import working_dtype
from ..frozen import keep_positive
from ..gradient import CPU_SHARED_PIXELS, anchor_of, is_general, is_traced, only_once
from .blocks import TOP, Bits, InvertedBottleneck, Pointwise, Spatial, pack_between
from .layout import Layout
from .moments import CELL, Cells, Tap, grid, plain_cells, plain_moments, pull_back_rows
from .readout import Readout
from .rows import Strips, rebatched

CPU_STRIP_BYTES = 4 << 20
"""About how large a strip of the widest map of a block is."""
MIN_SIDE = 32
RESOLUTION = 224
"""Side in pixels of the images that the network was first trained on."""


class EfficientNet:
    """Frozen image tower: pixels in [0, 1] to features, ``(N, 3, H, W)`` to ``(N, D)``, for any H, W of at least 32.

    Args:
        tensors: of a file in the compact format, whose layout is ``layout``; only the image tower's are read.
        layout: strides and constants, which shapes do not tell.
        device: where to compute.
        dtype: to which weights and pixels are rounded; statistics and what follows are in fp32 or wider.
    """

    min_side = MIN_SIDE

    def __init__(self, tensors: Mapping[str, Tensor], layout: Layout, device: torch.device, dtype: torch.dtype):
        self.device, self.dtype = device, dtype
        self.trunk = EfficientNetTrunk(tensors, layout, device, dtype)
        wide = torch.float64 if dtype == torch.float64 else torch.float32
        self.readout = Readout(tensors, self.trunk.centres, layout.eps, device, wide)

    def __call__(self, x: Tensor, pos_embedding: str = "none") -> Tensor:
        """Encode pixels ``(N, 3, H, W)``, fp32 or float64; returns features ``(N, D)``, not normalised.

        It has no positions, so that ``pos_embedding`` is always ``'none'``.
        """
        return torch.cat([self.readout(self._whole(part)) for part in _parts(x)])

    def encode_stages(self, x: Tensor, pos_embedding: str = "none") -> tuple[Tensor, Tensor]:
        """The features ``(N, D)`` and what they are made of: mean and log deviation of every channel, ``(N, S)``."""
        moments = torch.cat([self._whole(part) for part in _parts(x)])
        return self.readout(moments), torch.cat(self.readout.statistics(moments), dim=1)

    def with_map(self, x: Tensor, pos_embedding: str = "none") -> tuple[Tensor, Tensor]:
        """The features ``(N, D)`` and, from the same pass, those of each place, ``(N, D, h, w)``; not normalised.

        A place is a cell of 32 px seen with its eight neighbours; h = ((H + 1) // 2) // 16, and w likewise.
        """
        features, maps = [], []
        for part in _parts(x):
            moments, cells = self._moments(part, whole=True, local=True)
            features.append(self.readout(moments))
            maps.append(self.readout.dense(cells))
        return torch.cat(features), torch.cat(maps)

    def encode_map(self, x: Tensor, pos_embedding: str = "none") -> Tensor:
        """The latter of :meth:`with_map` alone."""
        return torch.cat([self.readout.dense(self._moments(part, whole=False, local=True)[1]) for part in _parts(x)])

    def _whole(self, x: Tensor) -> Tensor:
        return self._moments(x, whole=True, local=False)[0]

    def _moments(self, x: Tensor, whole: bool, local: bool) -> tuple[Tensor, list[Cells]]:
        """Moments ``(N, 2, C)`` if ``whole``, else an empty tensor, and the cells of every tap if ``local``."""
        wants_gradient = torch.is_grad_enabled() and x.requires_grad
        if is_traced() or (wants_gradient and is_general()):
            return self.trunk.plain(x, whole, local)
        if not wants_gradient:
            return self.trunk(x, whole, local)
        moments, *cells = _Moments.apply(x, anchor_of(x), self.trunk, whole, local)
        return moments, _paired(cells)


class EfficientNetTrunk:
    """Pixels to the moments of every tap, in strips of rows where one large image is on a CPU.

    Taps are kept centred: a constant per channel, the mean that the file gives, is taken off by the biases around them.
    That is exact, since only 1×1 convolutions read them, and keeps small variances apart from large means.
    """

    def __init__(self, tensors: Mapping[str, Tensor], layout: Layout, device: torch.device, dtype: torch.dtype):
        self.device, self.dtype, self.working = device, dtype, working_dtype(dtype, device)
        self.wide = torch.float64 if dtype == torch.float64 else torch.float32
        means = tensors["visual.statistics.mean"].double()

        def load(name: str) -> tuple[Tensor, Tensor]:
            return tensors[f"visual.{name}.weight"].double(), tensors[f"visual.{name}.bias"].double()

        def pointwise(name: str, centre: Tensor, shift: Tensor | float = 0.0) -> Pointwise:
            weight, bias = load(name)
            return Pointwise(weight, bias + weight[:, :, 0, 0] @ centre + shift, device, dtype)

        stem = Spatial(*load("stem"), 2, device, dtype)
        self.blocks = [InvertedBottleneck(None, stem, None, residual=False)]
        centre, done = torch.zeros(stem.bias.shape[0], dtype=torch.float64), 0
        centres = []
        for index, stride in enumerate(layout.strides):
            name = f"blocks.{index}"
            widens = f"visual.{name}.expand.weight" in tensors
            expand = pointwise(f"{name}.expand", centre) if widens else None
            spatial = Spatial(*load(f"{name}.depthwise"), stride, device, dtype)
            channels = tensors[f"visual.{name}.project.bias"].shape[0]
            residual = stride == 1 and len(centre) == channels
            before, centre = centre, means[done : done + channels]
            shift = (before if residual else 0.0) - centre
            zeros = torch.zeros(spatial.bias.shape[0], dtype=torch.float64)
            project = pointwise(f"{name}.project", zeros, shift)
            self.blocks.append(InvertedBottleneck(expand, spatial, project, residual))
            centres.append(centre)
            done += channels
        self.head = pointwise("head", centre)
        channels = self.head.bias.shape[0]
        self.centres = [*centres, torch.zeros(channels, dtype=torch.float64)]  # the head's ReLU6 has none
        self.widths = [len(each) for each in self.centres]
        reach = [2 * math.prod(layout.strides[: i + 1]) for i in range(len(layout.strides))]
        self.sides = [CELL // stride for stride in (*reach, reach[-1])]  # of a cell on each tap

    def __call__(self, x: Tensor, whole: bool, local: bool, tape: _Tape | None = None) -> tuple[Tensor, list[Cells]]:
        """Moments ``(N, 2, C)`` if ``whole``, else an empty tensor, and the cells of every tap if ``local``."""
        sizes = self.sizes((x.shape[2], x.shape[3]))
        taps = [
            Tap(size[0], side, whole, grid(*sizes[0]) if local else None, self.wide, keep=tape is not None)
            for size, side in zip([*sizes[2:], sizes[-1]], self.sides, strict=True)
        ]
        strips = self._pixels(x, self._strip_rows(x, self.blocks[0], sizes[0]))
        for index, block in enumerate(self.blocks):
            size = sizes[index]
            bits = None if tape is None else Bits(size, sizes[index + 1])
            if tape is not None and bits is not None:
                tape.bits.append(bits)
            strips = block.stream(rebatched(strips, self._strip_rows(x, block, size)), size[0], bits)
            if index:
                strips = taps[index - 1].watch(strips)
        for _ in taps[-1].watch(self._head(strips)):
            pass
        if tape is not None:
            tape.maps = [tap.map.whole for tap in taps if tap.map is not None]
        moments = torch.cat([tap.moments for tap in taps], dim=2) if whole else x.new_empty(0)
        return moments, [tap.cells for tap in taps] if local else []

    def plain(self, x: Tensor, whole: bool, local: bool) -> tuple[Tensor, list[Cells]]:
        """The same by plain differentiable operations."""
        size = grid(x.shape[2], x.shape[3])
        x = self.blocks[0].plain(self._normalised(x))
        taps = []
        for block in self.blocks[1:]:
            x = block.plain(x)
            taps.append(x.to(self.wide))
        taps.append(F.relu6(self.head(x)).to(self.wide))
        moments = torch.cat([plain_moments(tap) for tap in taps], dim=2) if whole else x.new_empty(0)
        pairs = zip(taps, self.sides, strict=True)
        return moments, [plain_cells(tap, side, size) for tap, side in pairs] if local else []

    def pull_back(
        self, of_moments: Tensor | None, of_cells: Sequence[Cells], tape: _Tape, x: Tensor
    ) -> Iterator[Tensor]:
        """Gradient with respect to pixels, in strips; the gradients that come are in the middle of the dtype's range.

        Args:
            of_moments: ``(N, 2, C)``, or None.
            of_cells: of each tap's averages over cells and of those of squares; none if they were not asked for.
            tape: what the forward noted.
            x: an empty tensor of the images' height, width and number, for how to cut.
        """
        none = [None] * len(self.widths)
        moments = none if of_moments is None else of_moments.split(self.widths, dim=2)
        cells = of_cells or none
        last = tape.maps[-1]
        rows = self._strip_rows(x, self.blocks[-1], tape.bits[-1].size)
        grads: Strips = self._pull_back_head(last, rows, moments[-1], cells[-1])
        for index in reversed(range(1, len(self.blocks))):
            block, bits, tap = self.blocks[index], tape.bits[index], tape.maps[index - 1]
            out_rows = max(1, self._strip_rows(x, block, bits.size) // block.spatial.stride)
            grads = self._with_tap(rebatched(grads, out_rows), tap, self.sides[index - 1], moments[index - 1],
                                   cells[index - 1])  # fmt: skip
            grads = block.pull_back(grads, bits)
        stem = self.blocks[0]
        return stem.pull_back(rebatched(grads, max(1, self._strip_rows(x, stem, tape.bits[0].size) // 2)), tape.bits[0])

    def sizes(self, size: tuple[int, int]) -> list[tuple[int, int]]:
        """Heights and widths: of the image, of the stem's output, and of each block's."""
        sizes = [size]
        for block in self.blocks:
            sizes.append(block.out_size(sizes[-1]))
        return sizes

    def _head(self, strips: Strips) -> Strips:
        for y in strips:
            yield self.head(y).clamp_(0, TOP)

    def _pull_back_head(self, y: Tensor, rows: int, of_moments: Tensor | None, of_cells: Cells | None) -> Strips:
        for row in range(0, y.shape[2], rows):
            strip = y[:, :, row : row + rows]
            grad = pull_back_rows(strip.to(self.wide), row, _size(y), self.sides[-1], of_moments, of_cells)
            yield self.head.pull_back(keep_positive(grad.to(self.working), pack_between(strip)))

    def _with_tap(
        self, grads: Strips, y: Tensor, side: int, of_moments: Tensor | None, of_cells: Cells | None
    ) -> Strips:
        row = 0
        for grad in grads:
            strip = y[:, :, row : row + grad.shape[2]].to(self.wide)
            yield grad.add(pull_back_rows(strip, row, _size(y), side, of_moments, of_cells).to(self.working))
            row += grad.shape[2]

    def _pixels(self, x: Tensor, rows: int) -> Strips:
        for row in range(0, x.shape[2], rows):
            yield self._normalised(x[:, :, row : row + rows])

    def _normalised(self, x: Tensor) -> Tensor:
        """Pixels as the network takes them, (255 x - 127) / 128."""
        x = (x * (255 / 128) - 127 / 128).to(self.dtype).to(self.working)
        return x if is_traced() else x.contiguous(memory_format=torch.channels_last)  # vmap knows no other layout

    def _strip_rows(self, x: Tensor, block: InvertedBottleneck, size: tuple[int, int]) -> int:
        """How many rows of a block's input go through it at once."""
        if x.device.type != "cpu" or x.shape[0] > 1:
            return size[0]
        return max(block.spatial.kernel, CPU_STRIP_BYTES // (size[1] * block.channels * self.working.itemsize))


class _Tape:
    """What a backward needs: bits of every block, and every tap's map."""

    def __init__(self) -> None:
        self.bits: list[Bits] = []
        self.maps: list[Tensor] = []


class _Moments(torch.autograd.Function):
    """The trunk with a gradient that keeps its taps and one bit for each element of the wide maps."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, anchor: Tensor, trunk: EfficientNetTrunk, whole: bool, local: bool
    ) -> tuple[Tensor, ...]:
        tape = _Tape()
        moments, cells = trunk(x, whole, local, tape)
        ctx.trunk, ctx.whole, ctx.shape, ctx.kind = trunk, whole, x.shape, (x.dtype, x.device)
        ctx.sizes = [bits.size for bits in tape.bits]
        ctx.save_for_backward(
            anchor, *tape.maps, *(part.whole for bits in tape.bits for part in (bits.wide, bits.narrow)),
            *(each.mean for each in cells if each.variance.shape[1]),
        )  # fmt: skip
        return moments, *itertools.chain(*cells)

    @staticmethod
    def backward(ctx: Any, of_moments: Tensor, *of_cells: Tensor) -> tuple[Tensor, None, None, None, None]:
        anchor, *saved = ctx.saved_tensors
        trunk = ctx.trunk
        tape = _Tape()
        taps, strips_of_bits = len(trunk.widths), len(trunk.widths) + 2 * len(ctx.sizes)
        tape.maps, packed, means = saved[:taps], saved[taps:strips_of_bits], saved[strips_of_bits:]
        for size, wide, narrow in zip(ctx.sizes, packed[::2], packed[1::2], strict=True):
            bits = Bits(size, (0, 0))
            bits.wide.whole, bits.narrow.whole = wide, narrow
            tape.bits.append(bits)
        with torch.no_grad():
            # a variance is an average of squares, less the square of an average
            left = iter(means)
            pairs = [
                (of.mean - 2 * next(left) * of.variance if of.variance.shape[1] else of.mean, of.variance)
                for of in _paired(of_cells)
            ]
            came = [*([of_moments] if ctx.whole else []), *itertools.chain(*pairs)]
            # Pulling back is linear, so each image's gradient may go through in the middle of its dtype's range: a
            # score's own would be lost in fp16, and a caller's GradScaler does not reach in here.
            sizes = [part.abs().flatten(1).amax(1).to(trunk.wide) for part in came if part.numel()]
            largest = torch.stack(sizes).amax(0)
            scale = torch.where(largest > 0, largest.log2().floor().exp2(), 1.0)
            came = [(part / scale.view(-1, *[1] * (part.dim() - 1))).to(trunk.wide) for part in came]
            dtype, device = ctx.kind
            grad = torch.empty(ctx.shape, dtype=dtype, device=device)
            strips = trunk.pull_back(came.pop(0) if ctx.whole else None, _paired(came), tape, grad)
            row = 0
            for strip in strips:
                grad[:, :, row : row + strip.shape[2]] = strip
                row += strip.shape[2]
            grad *= scale.view(-1, 1, 1, 1) * (255 / 128)
        return only_once(grad, anchor), None, None, None, None


def _paired(tensors: Sequence[Tensor]) -> list[Cells]:
    """Cells of one tap after the other."""
    return [Cells(*pair) for pair in zip(tensors[::2], tensors[1::2], strict=True)]


def _parts(x: Tensor) -> tuple[Tensor, ...]:
    """On a CPU, large images one by one: they go through in strips, and a batch encodes like its single images."""
    if is_traced() or x.device.type != "cpu" or x.shape[2] * x.shape[3] < CPU_SHARED_PIXELS:
        return (x,)
    return x.split(1)


def _size(x: Tensor) -> tuple[int, int]:
    return x.shape[2], x.shape[3]
