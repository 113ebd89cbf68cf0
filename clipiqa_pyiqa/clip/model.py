"""The frozen CLIP of a checkpoint: images to unit features, texts to unit features; several metrics share it."""

import threading
from collections.abc import Callable, Sequence
from functools import cached_property, partial
from typing import Any, Protocol
from weakref import WeakValueDictionary

import torch
import torch.nn.functional as F
from torch import Tensor

from ..checks import MIN_SIDE
from ..errors import CLIPIQAError
from ..text import log
from ..weights.checkpoint import TowerKind, open_checkpoint, tower_kind_of
from ..weights.finding import Weights, found_again
from .arithmetic import FrozenTensors, clamped
from .gradient import groups, recomputed, untraceable, untraced
from .mini import RESOLUTION, load_efficientnet
from .resnet import ModifiedResNet
from .text import TextTower, Vocabulary
from .transformer import VisionTransformer


class FrozenCLIP:
    """The CLIP of one checkpoint, made by :func:`frozen_clip`.

    A copy is the same object; a pickle only names the checkpoint.
    """

    def __init__(self, weights: Weights):
        self.weights = weights
        self.checkpoint = open_checkpoint(weights.path)
        self.tower_kind = tower_kind_of(self.checkpoint)
        self.vocabulary = Vocabulary(self.checkpoint)
        self._lock = threading.RLock()
        self._towers: WeakValueDictionary[tuple[Any, ...], Any] = WeakValueDictionary()
        self._text_features: dict[tuple[str, torch.dtype], Tensor] = {}
        self._warned: set[str] = set()  # words of earlier warnings

    @property
    def cell(self) -> int:
        """Side in pixels of a place, which is also the smallest image: 32, or a ViT's patch."""
        if self.tower_kind is TowerKind.VIT:
            return self.checkpoint.shapes["visual.conv1.weight"][-1]
        return MIN_SIDE

    @property
    def has_positions(self) -> bool:
        """Whether its image tower has a positional embedding."""
        return self.tower_kind is not TowerKind.MINI

    @property
    def width(self) -> int:
        """How many numbers a feature has."""
        return self.checkpoint.shapes["text_projection"][1]

    @cached_property
    def logit_scale(self) -> float:
        """Factor of cosine similarities: 100 in the published weights."""
        with untraced():
            return self.checkpoint["logit_scale"].double().exp().item()

    def image_tower(self, device: torch.device, dtype: torch.dtype) -> "ImageTower":
        """Return the image tower for a device and dtype; callers share the tower."""
        return self._shared_tower(self._build_image, device, dtype)

    def text_tower(self, device: torch.device, dtype: torch.dtype) -> TextTower:
        """Return the text tower for a device and dtype; callers share the tower."""
        return self._shared_tower(self._build_text, device, dtype)

    @untraceable
    def encode_texts(self, texts: Sequence[str], dtype: torch.dtype) -> Tensor:
        """Return unit features ``(P, D)`` on the CPU; each text is encoded once, and no other text changes them.

        Words that the checkpoint never saw are warned of.
        """
        with self._lock, untraced():
            missing = [text for text in dict.fromkeys(texts) if (text, dtype) not in self._text_features]
            if missing:
                self.warn_of_unknown(missing)
                features = self.text_tower(torch.device("cpu"), dtype)(missing)
                self._text_features.update(zip([(text, dtype) for text in missing], features, strict=True))
            return torch.stack([self._text_features[text, dtype] for text in texts])

    def knows(self, *texts: str) -> bool:
        """Return whether the checkpoint was trained on all words; True if its metadata do not list them."""
        return not self.vocabulary.unknown_words(texts)

    def warn_of_unknown(self, texts: Sequence[str]) -> None:
        """Log words that the checkpoint never saw, each once."""
        words = [word for word in self.vocabulary.unknown_words(texts) if word not in self._warned]
        if words:
            self._warned.update(words)
            log.warning(
                f"{self.weights.backbone} never saw {', '.join(map(repr, words))}, so scores of texts with these words "
                "mean nothing: use a backbone such as RN50."
            )

    @untraceable  # tracing the construction of a tower would gain nothing
    def _shared_tower(self, build: Callable[[FrozenTensors], Any], device: torch.device, dtype: torch.dtype) -> Any:
        tensors = FrozenTensors(self.checkpoint, device, dtype)
        key = build.__name__, device, dtype, tensors.arithmetic_dtype
        with self._lock:
            tower = self._towers.get(key)
            if tower is None:
                with untraced():  # autograd must be able to use the tower's tensors later
                    tower = build(tensors)
                self._towers[key] = tower
            return tower

    def _build_image(self, tensors: FrozenTensors) -> "ImageTower":
        if self.tower_kind is TowerKind.MINI:
            return ImageTower(load_efficientnet(tensors), tensors, self.weights, RESOLUTION)
        encoder: Encoder
        if self.tower_kind is TowerKind.VIT:
            encoder = VisionTransformer(tensors, self.weights.quick_gelu)
            positions = "visual.positional_embedding"
        else:
            encoder = ModifiedResNet(tensors)
            positions = "visual.attnpool.positional_embedding"
        place_count = self.checkpoint.shapes[positions][0] - 1  # the other position is of no place
        return ImageTower(encoder, tensors, self.weights, round(place_count**0.5) * self.cell)

    def _build_text(self, tensors: FrozenTensors) -> TextTower:
        return TextTower(tensors, self.vocabulary, self.weights.quick_gelu)

    def __reduce__(self) -> tuple[Any, ...]:
        return frozen_clip, (self.weights, True)


_shared: WeakValueDictionary[tuple[str, str, bool], FrozenCLIP] = WeakValueDictionary()
_shared_lock = threading.Lock()


def frozen_clip(weights: Weights, are_pickled: bool = False) -> FrozenCLIP:
    """Return the weights' :class:`FrozenCLIP`, one per process; pickled weights are found again by their hash."""
    key = (weights.short, weights.sha256, weights.quick_gelu)
    with _shared_lock:
        clip = _shared.get(key)
        if clip is None:
            clip = FrozenCLIP(found_again(weights) if are_pickled else weights)
            _shared[key] = clip
        return clip


class Encoder(Protocol):
    """The network of an image tower, of any kind."""

    group_pixels: int
    """How many pixels pass it at once on a CPU; a larger image passes it alone."""

    has_normalisation: bool
    """Whether it normalises pixels in [0, 1] itself; if not, the tower does."""

    def encode(self, x: Tensor, pos_embedding: str, *parts: str) -> list[Tensor]:
        """Return what is asked of images, not normalised, all from one pass.

        The parts are ``'image'``, features ``(N, D)``; ``'places'``, features ``(N, D, h, w)``; and ``'stages'``,
        statistics of the network's stages, ``(N, K)``. A network without a positional embedding ignores
        ``pos_embedding``, ``'none'`` or ``'interpolate'``.
        """


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

    def encode(self, x: Tensor, pos_embedding: str, *parts: str) -> list[Tensor]:
        """Return what is asked of images, as :meth:`Encoder.encode`; features have length 1."""
        x = x.expand(-1, 3, -1, -1)  # a grey image gets three equal channels

        def encode_group(group: Tensor) -> list[Tensor]:
            return self.encoder.encode(*self._prepare(group, pos_embedding), *parts)

        try:
            with torch.autocast(x.device.type, enabled=False):
                # with a gradient of more images than `per_image` passes on, the backward pass encodes groups again
                encode = partial(recomputed, encode_group) if len(groups(x)) > 1 else encode_group
                of_groups = [encode(group) for group in groups(x, self.encoder.group_pixels)]
                found = [torch.cat(of_part).to(self.dtype) for of_part in zip(*of_groups, strict=True)]
        except NotImplementedError as error:
            if x.device.type != "mps":
                raise
            raise CLIPIQAError(
                f"device 'mps' lacks an operation ({str(error).partition('. ')[0]}): use device='cpu', or set "
                "PYTORCH_ENABLE_MPS_FALLBACK=1 before Python starts, so that the CPU computes this operation.",
                options=("device",),
            ) from error
        return [y if part == "stages" else F.normalize(y, dim=1) for part, y in zip(parts, found, strict=True)]

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

    x = TF.resize(x, [side], interpolation=TF.InterpolationMode.BICUBIC, antialias=True)
    return TF.center_crop(x, [side, side])
