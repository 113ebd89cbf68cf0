"""The frozen CLIP of a checkpoint, which several metrics share."""

import threading
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any
from weakref import WeakValueDictionary

import torch
from torch import Tensor

from ..checks import MIN_SIDE
from ..text import log
from ..weights.checkpoint import TowerKind, open_checkpoint, tower_kind_of
from ..weights.finding import Weights, found_again
from .efficientnet import RESOLUTION
from .encoder import Encoder
from .frozen_tensors import FrozenTensors
from .image_tower import ImageTower
from .mini_checkpoint import load_efficientnet
from .resnet import ModifiedResNet
from .text_tower import TextTower, unit_text_features
from .tracing import untraceable, untraced
from .transformer import VisionTransformer
from .vocabulary import Vocabulary


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

    def image_tower(self, device: torch.device, dtype: torch.dtype) -> ImageTower:
        """Return the image tower for a device and dtype; callers share the tower."""
        return self._shared_tower(self._build_image, device, dtype)

    def text_tower(self, device: torch.device, dtype: torch.dtype) -> TextTower:
        return self._shared_tower(self._build_text, device, dtype)

    def encode_texts(self, texts: Sequence[str], dtype: torch.dtype) -> Tensor:
        """Return unit features ``(P, D)`` on the CPU; each text is encoded once, and no other text changes them.

        Words that the checkpoint never saw are warned of.
        """
        if any((text, dtype) not in self._text_features for text in texts):
            self._encode_missing(texts, dtype)
        return torch.stack([self._text_features[text, dtype] for text in texts])

    @untraceable
    def _encode_missing(self, texts: Sequence[str], dtype: torch.dtype) -> None:
        """Encode and keep the texts that were not encoded before."""
        with self._lock, untraced():
            missing = [text for text in dict.fromkeys(texts) if (text, dtype) not in self._text_features]
            self.warn_of_unknown(missing)
            features = unit_text_features(self.text_tower(torch.device("cpu"), dtype), missing)
            for text, feature in zip(missing, features, strict=True):
                self._text_features[text, dtype] = feature

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

    def _build_image(self, tensors: FrozenTensors) -> ImageTower:
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
