"""The image tower of a CLIP: images to unit features, on any image network."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import CLIPIQAError
from ..weights.finding import Weights
from .arithmetic import clamped
from .encoder import Encoder, Part
from .frozen_tensors import FrozenTensors
from .groups import groups
from .tracing import impossible_in_vmap


class ImageTower:
    """The image network of a CLIP: images ``(N, 3, H, W)`` in [0, 1] to unit features.

    Features are differentiable, in fp32 or wider, also under autocast.
    """

    def __init__(self, encoder: Encoder, tensors: FrozenTensors, weights: Weights, resolution: int):
        self.encoder, self.resolution = encoder, resolution
        self.dtype = tensors.feature_dtype  # of features
        self.mean, self.std = (
            torch.tensor(values).view(1, 3, 1, 1).to(tensors.device, self.dtype)  # in fp32, as in other packages
            for values in (weights.mean, weights.std)
        )

    def __call__(self, x: Tensor, pos_embedding: str) -> Tensor:
        return self.encode(x, pos_embedding, "image")[0]

    def encode(self, x: Tensor, pos_embedding: str, *parts: Part) -> list[Tensor]:
        """Return the features of each part from one pass: ``(N, D)`` of images, ``(N, D, h, w)`` of places."""
        return [F.normalize(y, dim=1) for y in self._encode(self.encoder.encode, x, pos_embedding, *parts)]

    def encode_stages(self, x: Tensor, pos_embedding: str) -> Tensor:
        """Return image features and, after them, the statistics of every stage: ``(N, D + K)``."""
        features, stages = self._encode(self.encoder.encode_stages, x, pos_embedding)
        return torch.cat([F.normalize(features, dim=1), stages], dim=1)

    def _encode(
        self, encode: Callable[..., Sequence[Tensor]], x: Tensor, pos_embedding: str, *parts: Part
    ) -> list[Tensor]:
        x = x.expand(-1, 3, -1, -1)  # a grey image gets three equal channels
        try:
            with torch.autocast(x.device.type, enabled=False):
                of_groups = [
                    encode(*self._prepare(group, pos_embedding), *parts)
                    for group in groups(x, self.encoder.group_factor)
                ]
                return [torch.cat(features).to(self.dtype) for features in zip(*of_groups, strict=True)]
        except NotImplementedError as error:
            if x.device.type != "mps":
                raise
            raise CLIPIQAError(
                f"device 'mps' lacks an operation ({str(error).partition('. ')[0]}): use device='cpu', or set "
                "PYTORCH_ENABLE_MPS_FALLBACK=1 before Python starts, so that the CPU computes this operation.",
                options=("device",),
            ) from error

    def _prepare(self, x: Tensor, pos_embedding: str) -> tuple[Tensor, str]:
        """Return what the network gets: pixels, and what it does with its positional embedding."""
        x = x.to(self.dtype)
        if pos_embedding == "fixed":
            x = clamped(middle_square(x, self.resolution), 0, 1)  # bicubic values may leave [0, 1]
        if not self.encoder.has_normalisation:
            x = (x - self.mean) / self.std
        return x, "none" if pos_embedding == "none" else "interpolate"


def middle_square(x: Tensor, side: int) -> Tensor:
    """Return images ``(N, 3, side, side)``: resized by the short side with bicubic interpolation, then cropped."""
    from torchvision.transforms.v2 import functional as TF  # the import takes two seconds

    with impossible_in_vmap("a metric that crops images to a square, as with pos_embedding='fixed',"):
        x = TF.resize(x, [side], interpolation=TF.InterpolationMode.BICUBIC, antialias=True)
    return TF.center_crop(x, [side, side])
