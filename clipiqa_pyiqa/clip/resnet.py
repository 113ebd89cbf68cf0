"""CLIP's ModifiedResNet (RN50, RN101, RN50x4, RN50x16, RN50x64) for images of any size."""

from collections.abc import Callable, Iterator
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor

from .arithmetic import FrozenTensors, means_and_deviations
from .convolution import Convolution
from .gradient import CPU_GROUP_PIXELS, LARGE, is_traced, needs_gradient, recomputed, untraced
from .strips import in_strips

HEAD_WIDTH = 64


class ModifiedResNet:
    """Frozen network of an image tower: normalised pixels ``(N, 3, H, W)`` to features, for H and W of at least 32.

    Source: Radford et al., ICML 2021, Sec. 2.4; Wang et al., AAAI 2023, Sec. 3.1 (no positional embedding).
    """

    group_pixels = CPU_GROUP_PIXELS
    has_normalisation = False

    def __init__(self, tensors: FrozenTensors):
        self.dtype = tensors.dtype
        self.arithmetic_dtype = tensors.arithmetic_dtype
        self.stem = Stem(tensors)
        self.stages = [_stage(tensors, number) for number in (1, 2, 3, 4)]
        self.pool = AttentionPool(tensors)

    def encode(self, x: Tensor, pos_embedding: str, *parts: str) -> list[Tensor]:
        """Return what is asked of images, not normalised: see :class:`~clipiqa_pyiqa.clip.model.Encoder`.

        A place is a position of the last map: h = ((H + 1) // 2) // 16, and w accordingly. The statistics of stages are
        means and deviations of channels after the stem and each stage.
        """
        moments = []
        for y in self._maps(x):
            if "stages" in parts:
                moments.append(means_and_deviations(y.flatten(2).to(self.pool.dtype)))
        last = y.to(self.pool.dtype)
        if last.requires_grad and self.arithmetic_dtype == torch.float16:
            _scale_gradients(x, last)
        answers = {
            "image": lambda: self.pool(last, pos_embedding),
            "places": lambda: self.pool.dense(last, pos_embedding),
            "stages": lambda: torch.cat(moments, dim=1),
        }
        return [answers[part]() for part in parts]

    def _maps(self, x: Tensor) -> Iterator[Tensor]:
        """Yield the maps after the stem and each of the four stages: (N, 64, H/4, W/4) to (N, 2048, H/32, W/32)."""
        is_large = not is_traced() and x.shape[2] * x.shape[3] > LARGE
        x = rounded_pixels(x, self.dtype).to(self.arithmetic_dtype)
        if not is_traced():
            x = x.contiguous(memory_format=torch.channels_last)
        parts: list[Callable[[Tensor], Tensor]] = [self.stem, *self.stages]
        for part in parts:
            x = recomputed(part, x) if is_large else part(x)
            yield x


def rounded_pixels(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Return pixels rounded to a dtype, in their own dtype; their gradient is not rounded."""
    return x if dtype == x.dtype else x + (x.to(dtype).to(x.dtype) - x).detach()


def _scale_gradients(x: Tensor, last: Tensor) -> None:
    """Bring each image's gradient into the middle of fp16's range while it passes the network from ``last`` to ``x``.

    The network is linear in its gradient, and a caller's GradScaler does not reach gradients made in the forward pass.
    """
    scales: list[Tensor] = []

    def enlarge(grad: Tensor) -> Tensor:
        largest = grad.abs().amax(dim=(1, 2, 3), keepdim=True)
        scales.append(torch.where(largest > 0, largest.log2().floor().exp2(), 1.0))
        return grad / scales[-1]

    last.register_hook(enlarge)
    x.register_hook(lambda grad: grad * scales.pop())


class Stem:
    """Three 3×3 convolutions, the first of stride 2, and a 2×2 average: (N, 3, H, W) to (N, 64, H/4, W/4)."""

    def __init__(self, tensors: FrozenTensors):
        self.convs = [
            _folded(tensors, f"visual.conv{i}", f"visual.bn{i}", "relu", stride=2 if i == 1 else 1) for i in (1, 2, 3)
        ]

    def __call__(self, x: Tensor) -> Tensor:
        return in_strips(self._whole, x, height=(x.shape[2] + 1) // 4, scale=4, halo=2)

    def _whole(self, x: Tensor) -> Tensor:
        for conv in self.convs:
            x = conv(x)
        return F.avg_pool2d(x, 2)


class Stage:
    """Residual blocks, of which the first halves the map in all stages but the first."""

    def __init__(self, blocks: list["Bottleneck"]):
        self.blocks = blocks

    def __call__(self, x: Tensor) -> Tensor:
        scale = self.blocks[0].stride
        return in_strips(self._whole, x, height=x.shape[2] // scale, scale=scale, halo=len(self.blocks) + 1)

    def _whole(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return x


class Bottleneck:
    """1×1, 3×3 and 1×1 convolutions beside a shortcut; the stride is average pooling after the second convolution."""

    def __init__(self, tensors: FrozenTensors, name: str, stride: int):
        self.reduce = _folded(tensors, f"{name}.conv1", f"{name}.bn1", "relu")
        self.spatial = _folded(tensors, f"{name}.conv2", f"{name}.bn2", "relu")
        self.expand = _folded(tensors, f"{name}.conv3", f"{name}.bn3", "none")
        self.shortcut: Convolution | None = None
        if f"{name}.downsample.0.weight" in tensors.checkpoint:
            self.shortcut = _folded(tensors, f"{name}.downsample.0", f"{name}.downsample.1", "none")
        self.stride = stride

    def __call__(self, x: Tensor) -> Tensor:
        identity = x if self.shortcut is None else self.shortcut(self._pooled(x))
        return self.expand.plus(self._pooled(self.spatial(self.reduce(x))), identity)

    def _pooled(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, self.stride) if self.stride > 1 else x


def _stage(tensors: FrozenTensors, number: int) -> Stage:
    """Return a stage with as many blocks as the checkpoint has."""
    prefix = f"visual.layer{number}."
    count = len({name.split(".")[2] for name in tensors.checkpoint if name.startswith(prefix)})
    strides = [1 if number == 1 else 2] + [1] * (count - 1)
    return Stage([Bottleneck(tensors, f"{prefix}{index}", stride) for index, stride in enumerate(strides)])


def _folded(tensors: FrozenTensors, conv: str, norm: str, activation: str, stride: int = 1) -> Convolution:
    """Return a convolution into which BatchNorm is folded in float64; the result is rounded."""
    gamma, beta, mean, variance = (  # folded on the CPU, since not every device has float64
        tensors.checkpoint[f"{norm}.{name}"].double() for name in ("weight", "bias", "running_mean", "running_var")
    )
    scale = gamma / (variance + 1e-5).sqrt()  # torch's default, with which every CLIP ResNet was trained
    weight = tensors.rounded(tensors.checkpoint[f"{conv}.weight"].double() * scale[:, None, None, None])
    return Convolution(weight, tensors.rounded(beta - mean * scale), stride, activation)


class AttentionPool:
    """CLIP's pooling of ``(N, C, h, w)`` to ``(N, D)``, in fp32 or wider (Radford et al., ICML 2021, Sec. 2.4).

    The mean is the only query, so positions need no key or value projection.
    """

    def __init__(self, tensors: FrozenTensors):
        self.dtype = tensors.feature_dtype
        parts = ("positional_embedding", "q_proj", "k_proj", "v_proj", "c_proj")
        names = [part if part == "positional_embedding" else f"{part}.weight" for part in parts]
        loaded = [tensors.read(f"visual.attnpool.{name}") for name in names]
        self.positional_embedding, self.q_weight, k_weight, v_weight, self.c_weight = loaded
        self.q_bias, self.v_bias, self.c_bias = (
            tensors.read(f"visual.attnpool.{part}.bias") for part in ("q_proj", "v_proj", "c_proj")
        )
        self.k_weight = k_weight.unflatten(0, (-1, HEAD_WIDTH))  # (heads, 64, C)
        self.v_weight = v_weight.unflatten(0, (-1, HEAD_WIDTH))

    def __call__(self, x: Tensor, pos_embedding: str) -> Tensor:
        if x.is_cpu and not (is_traced() or needs_gradient(x)):  # one by one: sums depend on the number of rows
            return torch.cat([self._pool(image, pos_embedding) for image in x.split(1)])
        return self._pool(x, pos_embedding)

    def _pool(self, x: Tensor, pos_embedding: str) -> Tensor:
        tokens = x.flatten(2).transpose(1, 2)  # (N, C, h, w) -> (N, hw, C)
        tokens = torch.cat([tokens.mean(1, keepdim=True), tokens], dim=1)  # (N, hw + 1, C)
        if pos_embedding == "interpolate":
            tokens = tokens + resize_rows(self.positional_embedding, tokens.shape[1])
        query = F.linear(tokens[:, 0], self.q_weight, self.q_bias) * HEAD_WIDTH**-0.5
        query = query.unflatten(1, (-1, HEAD_WIDTH))  # (N, heads, 64)
        query = torch.einsum("nhd,hdc->nhc", query, self.k_weight)  # the key projection, applied to the query
        weights = (query @ tokens.transpose(1, 2)).softmax(dim=-1)  # (N, heads, hw + 1)
        pooled = weights @ tokens  # (N, heads, C)
        values = torch.einsum("nhc,hdc->nhd", pooled, self.v_weight).flatten(1) + self.v_bias
        return F.linear(values, self.c_weight, self.c_bias)

    def dense(self, x: Tensor, pos_embedding: str) -> Tensor:
        """Return the value projection of each position, ``(N, D, h, w)`` (MaskCLIP: Zhou, Loy, Dai, ECCV 2022)."""
        height, width = x.shape[2:]
        if pos_embedding == "interpolate":
            positions = resize_rows(self.positional_embedding, height * width + 1)[1:]  # row 0 is the mean's
            x = x + positions.T.unflatten(1, (height, width))
        weight, bias = self._value_of_itself
        return F.conv2d(x, weight[:, :, None, None], bias)

    @cached_property
    def _value_of_itself(self) -> tuple[Tensor, Tensor]:
        """Value and output projection as one layer, weight and bias, for positions that attend to themselves."""
        with untraced():
            tensors = self.v_weight.flatten(0, 1), self.v_bias, self.c_weight, self.c_bias
            values, shift, out, bias = (tensor.cpu().double() for tensor in tensors)  # no float64 on some devices
            return (out @ values).to(self.v_bias), (out @ shift + bias).to(self.v_bias)


def resize_rows(embedding: Tensor, rows: int) -> Tensor:
    """Return ``embedding`` resized to ``(rows, C)``, bicubic over the whole matrix as in the official code."""
    return F.interpolate(embedding[None, None], size=(rows, embedding.shape[1]), mode="bicubic")[0, 0]
