"""A frozen CLIP as a value: one per checkpoint, shared by every metric that uses it, its towers made when needed."""

from __future__ import annotations

import itertools
import json
import logging
import threading
from collections.abc import Sequence
from functools import cached_property
from typing import Any
from weakref import WeakValueDictionary

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms.v2 import functional as TF

from ..errors import ImageError, Kind
from ..weights.architecture import is_compact
from ..weights.checkpoint import Checkpoint, open_checkpoint
from ..weights.selection import Weights, found_again
from .device import missing_on_mps, working_dtype
from .efficientnet import RESOLUTION, EfficientNet
from .efficientnet_layout import Layout
from .gradient import clamped, constant, groups, untraceable, untraced
from .resnet import ModifiedResNet
from .text import TextTower
from .vit import VisionTransformer
from .vocabulary import Vocabulary

logger = logging.getLogger("clipiqa_pyiqa")


class ImageTower:
    """Pixels in [0, 1] to unit image features, with the pixel normalisation that belongs to the weights.

    Args:
        encoder: the frozen network, for normalised pixels; an :class:`EfficientNet` normalises them itself.
        weights: which normalisation, and the resolution of ``'fixed'``.
        resolution: side in pixels of CLIP's own square input.
    """

    def __init__(self, encoder: ModifiedResNet | VisionTransformer | EfficientNet, weights: Weights, resolution: int):
        self.encoder, self.weights, self.resolution = encoder, weights, resolution
        wide = torch.float64 if encoder.dtype == torch.float64 else torch.float32
        self.mean, self.std = (
            torch.tensor(values).view(1, 3, 1, 1).to(encoder.device, wide)  # rounded to fp32, as everybody's are
            for values in (weights.mean, weights.std)
        )

    @property
    def min_side(self) -> int:
        """Smallest height and width in pixels."""
        return self.encoder.min_side

    def __call__(self, x: Tensor, pos_embedding: str) -> Tensor:
        """Encode ``(N, 3, H, W)`` to ``(N, D)``: unit length, fp32 (float64 in a float64 tower), differentiable.

        Autocast does not reach inside: the tower's own dtype decides, so that a score does not depend on its caller.
        """
        with torch.autocast(x.device.type, enabled=False):
            features = torch.cat([self._encode(group, pos_embedding) for group in groups(x)])
            return F.normalize(features.to(self.mean.dtype), dim=-1)

    def with_map(self, x: Tensor, pos_embedding: str) -> tuple[Tensor, Tensor]:
        """The features ``(N, D)`` and, from the same pass, the unit features of each place, ``(N, D, h, w)``."""
        with torch.autocast(x.device.type, enabled=False):
            parts = [self.encoder.with_map(*self._prepared(group, pos_embedding)) for group in groups(x)]
            features, maps = (torch.cat(part).to(self.mean.dtype) for part in zip(*parts, strict=True))
            return F.normalize(features, dim=1), F.normalize(maps, dim=1)

    def encode_map(self, x: Tensor, pos_embedding: str) -> Tensor:
        """The unit features of each place alone, ``(N, D, h, w)``."""
        with torch.autocast(x.device.type, enabled=False):
            maps = [self.encoder.encode_map(*self._prepared(group, pos_embedding)) for group in groups(x)]
            return F.normalize(torch.cat(maps).to(self.mean.dtype), dim=1)

    def encode_stages(self, x: Tensor, pos_embedding: str) -> Tensor:
        """The features, and behind them the means and deviations of every stage's channels: ``(N, D + K)``."""
        with torch.autocast(x.device.type, enabled=False):
            parts = [self.encoder.encode_stages(*self._prepared(group, pos_embedding)) for group in groups(x)]
            features, stages = (torch.cat(part).to(self.mean.dtype) for part in zip(*parts, strict=True))
            return torch.cat([F.normalize(features, dim=-1), stages], dim=1)

    def _encode(self, x: Tensor, pos_embedding: str) -> Tensor:
        try:
            return self.encoder(*self._prepared(x, pos_embedding))
        except NotImplementedError as error:
            if x.device.type != "mps":
                raise
            raise missing_on_mps(error) from error

    def _prepared(self, x: Tensor, pos_embedding: str) -> tuple[Tensor, str]:
        x = x.to(self.mean.dtype)
        if pos_embedding == "fixed":
            x = _resize_and_crop(x, self.resolution)
        if isinstance(self.encoder, EfficientNet):
            return x, "none"  # it normalises by itself, and has no positions
        return (x - self.mean) / self.std, "none" if pos_embedding == "none" else "interpolate"


def check_size(x: Tensor, tower: ImageTower, pos_embedding: str) -> None:
    """Raise :class:`ImageError` for images ``(N, 3, H, W)`` that are too small for a tower."""
    if min(x.shape[-2:]) < tower.min_side and pos_embedding != "fixed":
        raise ImageError(
            f"the image is {x.shape[-1]}×{x.shape[-2]} px, but {tower.weights.backbone} needs at least "
            f"{tower.min_side} px on each side: use a larger image.",
            Kind.TOO_SMALL,
        )


class FrozenCLIP:
    """The CLIP of one checkpoint. Get it with :func:`frozen_clip`.

    It is immutable: copying gives the same object, pickling writes down only which checkpoint it is.
    """

    def __init__(self, weights: Weights):
        self.weights = weights
        self.number = next(_numbers)  # in this process
        _by_number[self.number] = self
        self._lock = threading.RLock()
        self._towers: WeakValueDictionary[tuple[Any, ...], Any] = WeakValueDictionary()
        self._text_features: dict[tuple[str, torch.dtype], Tensor] = {}
        self._warned: set[str] = set()  # words

    @cached_property
    def checkpoint(self) -> Checkpoint:
        return open_checkpoint(self.weights.path)

    @cached_property
    def vocabulary(self) -> Vocabulary:
        return Vocabulary(self.checkpoint)

    @property
    def cell(self) -> int:
        """Height and width in pixels of a place in the image tower's map: 32, or a vision transformer's patch."""
        return self.checkpoint.shapes["visual.conv1.weight"][-1] if "visual.proj" in self.checkpoint else 32

    @cached_property
    def width(self) -> int:
        """D of image and text features."""
        return self.checkpoint.shapes["text_projection"][1]

    @property
    def has_positions(self) -> bool:
        """Whether the image tower has a positional embedding at all."""
        return not is_compact(self.checkpoint)

    @property
    def features(self) -> int:
        """Length of an image's or a text's feature vector."""
        return self._numbers()[0]

    @property
    def logit_scale(self) -> float:
        """By what CLIP multiplies cosine similarities before its softmax: 100 in the published weights."""
        return self._numbers()[1]

    @constant
    def _numbers(self) -> tuple[int, float]:
        return self._read_numbers

    @cached_property
    def _read_numbers(self) -> tuple[int, float]:
        with untraced():
            scale = self.checkpoint["logit_scale"].double().exp().item()
        return self.checkpoint.shapes["text_projection"][1], scale

    def image_tower(self, device: torch.device, dtype: torch.dtype) -> ImageTower:
        """The image tower on a device, in a compute dtype; kept as long as somebody holds it."""
        return self._tower("image", device, dtype)

    def text_tower(self, device: torch.device, dtype: torch.dtype) -> TextTower:
        """The text tower on a device, in a compute dtype; kept as long as somebody holds it."""
        return self._tower("text", device, dtype)

    @constant
    def encode_texts(self, texts: Sequence[str], dtype: torch.dtype = torch.float32) -> Tensor:
        """Unit text features ``(P, D)`` on the CPU; each text is encoded once and remembered."""
        missing = [text for text in dict.fromkeys(texts) if (text, dtype) not in self._text_features]
        if missing:
            self.warn_of_unknown(missing)
            with untraced(), torch.autocast("cpu", enabled=False):
                features = F.normalize(self.text_tower(torch.device("cpu"), dtype)(missing), dim=-1)
                self._text_features.update(zip([(text, dtype) for text in missing], features, strict=True))
        return torch.stack([self._text_features[text, dtype] for text in texts])

    def knows(self, *texts: str) -> bool:
        """Whether the checkpoint was trained on every word of these texts, as far as it says on which it was."""
        return not self.vocabulary.unknown_words(texts)

    def warn_of_unknown(self, texts: Sequence[str]) -> None:
        """Say so, once per word, where the checkpoint knows that it was never trained on words of these texts."""
        words = [word for word in self.vocabulary.unknown_words(texts) if word not in self._warned]
        if words:
            self._warned.update(words)
            logger.warning(
                "%s never saw %s, so scores of texts with %s mean nothing: it knows %s and the like; for other words "
                "use another backbone, such as RN50.",
                self.weights.backbone,
                ", ".join(map(repr, words)),
                "this word" if len(words) == 1 else "these words",
                self._known_pairs(),
            )

    def _known_pairs(self) -> str:
        """The first pair of each question that the checkpoint was trained on, as one can ask it."""
        pairs = json.loads(self.checkpoint.metadata.get("prompts", "{}")).values()
        first = [
            [next((text for text in side if not text.startswith("X ")), side[0]) for side in pair] for pair in pairs
        ]
        return ", ".join(f"'{positive}|{negative}'" for positive, negative in first) or "what it was trained on"

    @untraceable  # nothing in here gains from tracing, which would take long
    def _tower(self, kind: str, device: torch.device, dtype: torch.dtype) -> Any:
        with self._lock:
            key = kind, device, dtype, working_dtype(dtype, device)
            tower = self._towers.get(key)
            if tower is None:
                with untraced():  # its tensors must serve autograd later on
                    tower = self._build_image(device, dtype) if kind == "image" else self._build_text(device, dtype)
                self._towers[key] = tower
            return tower

    def _build_image(self, device: torch.device, dtype: torch.dtype) -> ImageTower:
        tensors = self.checkpoint
        if is_compact(tensors):
            net = EfficientNet(tensors, Layout.of(tensors), device, dtype)
            return ImageTower(net, self.weights, RESOLUTION)
        if "visual.proj" in tensors:
            vit = VisionTransformer(tensors, device, dtype, self.weights.quick_gelu)
            side = tensors.shapes["visual.positional_embedding"][0] - 1
            return ImageTower(vit, self.weights, round(side**0.5) * vit.min_side)
        side = tensors.shapes["visual.attnpool.positional_embedding"][0] - 1
        return ImageTower(ModifiedResNet(tensors, device, dtype), self.weights, round(side**0.5) * 32)

    def _build_text(self, device: torch.device, dtype: torch.dtype) -> TextTower:
        return TextTower(self.checkpoint, self.vocabulary, device, dtype, self.weights.quick_gelu)

    def __copy__(self) -> FrozenCLIP:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> FrozenCLIP:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickled, (self.weights,)


_numbers = itertools.count()
_by_number: WeakValueDictionary[int, FrozenCLIP] = WeakValueDictionary()


def numbered(number: int) -> FrozenCLIP:
    """The CLIP that has this number in this process."""
    return _by_number[number]


_shared: WeakValueDictionary[tuple[str, str, bool], FrozenCLIP] = WeakValueDictionary()
_shared_lock = threading.Lock()


def frozen_clip(weights: Weights) -> FrozenCLIP:
    """The one :class:`FrozenCLIP` of these weights in this process."""
    key = (weights.backbone, weights.sha256, weights.quick_gelu)
    with _shared_lock:
        clip = _shared.get(key)
        if clip is None:
            clip = _shared[key] = FrozenCLIP(weights)
        return clip


def _unpickled(weights: Weights) -> FrozenCLIP:
    """The CLIP that was pickled: its weights by hash, wherever they lie now."""
    return frozen_clip(found_again(weights))


def _resize_and_crop(x: Tensor, side: int) -> Tensor:
    """CLIP's own input: the short side resized to ``side`` (bicubic, antialiased), then the centre square."""
    x = TF.resize(x, [side], interpolation=TF.InterpolationMode.BICUBIC, antialias=True)
    return clamped(TF.center_crop(x, [side, side]), 0, 1)  # bicubic overshoots; CLIP's 8-bit pixels cannot
