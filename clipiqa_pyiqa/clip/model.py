"""The frozen CLIP of a checkpoint, which several metrics share."""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property
from typing import Any
from weakref import WeakValueDictionary

import torch
import torch.nn.functional as F
from torch import Tensor

from ..checks import MIN_SIDE
from ..logger import log
from ..weights.architecture import Tower, tower_of
from ..weights.checkpoint import open_checkpoint
from ..weights.finding import Weights, found_again
from .arithmetic import clamped
from .device import missing_on_mps
from .efficientnet import RESOLUTION, load_efficientnet
from .encoder import Encoder, Part
from .frozen_tensors import FrozenTensors
from .groups import groups
from .resnet import ModifiedResNet
from .text import TextTower, Vocabulary
from .tracing import impossible_in_vmap, untraceable, untraced
from .transformer import VisionTransformer


@contextmanager
def one_thread(is_wanted: bool = True) -> Iterator[None]:
    """Compute with one thread of torch, so that results are equal for any number of threads."""
    threads = torch.get_num_threads()
    if not is_wanted or threads == 1:  # what is set here becomes the default of later threads too
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


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
            raise missing_on_mps(error) from error

    def _prepare(self, x: Tensor, pos_embedding: str) -> tuple[Tensor, str]:
        x = x.to(self.dtype)
        if pos_embedding == "fixed":
            x = clamped(middle_square(x, self.resolution), 0, 1)  # bicubic values may leave [0, 1]
        if self.encoder.normalises_pixels:
            return x, "none"
        return (x - self.mean) / self.std, "none" if pos_embedding == "none" else "interpolate"


class FrozenCLIP:
    """The CLIP of one checkpoint, made by :func:`frozen_clip`.

    A copy is the same object; a pickle only names the checkpoint.
    """

    def __init__(self, weights: Weights):
        self.weights, self.checkpoint = weights, open_checkpoint(weights.path)
        self.tower = tower_of(self.checkpoint)
        self.vocabulary = Vocabulary(self.checkpoint)
        self._lock = threading.RLock()
        self._towers: WeakValueDictionary[tuple[Any, ...], Any] = WeakValueDictionary()
        self._text_features: dict[tuple[str, torch.dtype], Tensor] = {}
        self._warned: set[str] = set()  # words of earlier warnings

    @property
    def cell(self) -> int:
        """Side in pixels of a place, which is also the smallest image: 32, or a ViT's patch."""
        return self.checkpoint.shapes["visual.conv1.weight"][-1] if self.tower is Tower.VIT else MIN_SIDE

    @property
    def has_positions(self) -> bool:
        """Whether its image tower has a positional embedding."""
        return self.tower is not Tower.MINI

    @property
    def width(self) -> int:
        return self.checkpoint.shapes["text_projection"][1]

    @cached_property
    def logit_scale(self) -> float:
        """Factor of cosine similarities: 100 in the published weights."""
        with untraced():
            return self.checkpoint["logit_scale"].double().exp().item()

    def image_tower(self, device: torch.device, dtype: torch.dtype) -> ImageTower:
        """Return the image tower for a device and dtype; callers share the tower."""
        return self._tower(self._build_image, device, dtype)

    def text_tower(self, device: torch.device, dtype: torch.dtype) -> TextTower:
        return self._tower(self._build_text, device, dtype)

    def encode_texts(self, texts: Sequence[str], dtype: torch.dtype) -> Tensor:
        """Return unit features ``(P, D)`` on the CPU; each text is encoded once, and no other text changes them."""
        if any((text, dtype) not in self._text_features for text in texts):
            self._encode_missing(texts, dtype)
        return torch.stack([self._text_features[text, dtype] for text in texts])

    @untraceable
    def _encode_missing(self, texts: Sequence[str], dtype: torch.dtype) -> None:
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
        words = [word for word in self.vocabulary.unknown_words(texts) if word not in self._warned]
        if words:
            self._warned.update(words)
            log.warning(
                f"{self.weights.backbone} never saw {', '.join(map(repr, words))}, so scores of texts with these words "
                "mean nothing: use a backbone such as RN50."
            )

    @untraceable  # tracing the construction of a tower would gain nothing
    def _tower(self, build: Callable[[FrozenTensors], Any], device: torch.device, dtype: torch.dtype) -> Any:
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
        encoder: Encoder
        if self.tower is Tower.MINI:
            return ImageTower(load_efficientnet(tensors), tensors, self.weights, RESOLUTION)
        if self.tower is Tower.VIT:
            encoder, name = VisionTransformer(tensors, self.weights.quick_gelu), "visual.positional_embedding"
        else:
            encoder, name = ModifiedResNet(tensors), "visual.attnpool.positional_embedding"
        places = tensors.checkpoint.shapes[name][0] - 1
        return ImageTower(encoder, tensors, self.weights, round(places**0.5) * self.cell)

    def _build_text(self, tensors: FrozenTensors) -> TextTower:
        return TextTower(tensors, self.vocabulary, self.weights.quick_gelu)

    def __reduce__(self) -> tuple[Any, ...]:
        return frozen_clip, (self.weights, True)


TEXTS_PER_THREAD = 8  # for fewer texts, the start of a thread takes longer than it gains


def unit_text_features(tower: TextTower, texts: Sequence[str]) -> Tensor:
    """Return unit features ``(P, D)``, without a gradient.

    On a CPU each text is encoded alone with one thread of torch: sums of a matrix product depend on the number of its
    rows and on threads, so a batch would change the last digit of a feature.
    """

    def encoded(part: Sequence[str]) -> Tensor:
        with untraced(), torch.autocast(tower.projection.device.type, enabled=False):  # also in other threads
            return F.normalize(tower(part), dim=-1)

    if tower.projection.device.type != "cpu" or not texts:
        return encoded(texts)
    alone = [[text] for text in texts]
    count = min(torch.get_num_threads(), len(texts) // TEXTS_PER_THREAD)
    with untraced(), one_thread():  # threads that start in here have one thread of torch each
        if count < 2:
            return torch.cat([encoded(text) for text in alone])
        with ThreadPoolExecutor(count, thread_name_prefix="clipiqa-text") as pool:
            return torch.cat(list(pool.map(encoded, alone)))


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


def middle_square(x: Tensor, side: int) -> Tensor:
    """Return images ``(N, 3, side, side)``: resized by the short side with bicubic interpolation, then cropped."""
    from torchvision.transforms.v2 import functional as TF  # the import takes two seconds

    with impossible_in_vmap("a metric that crops images to a square, as with pos_embedding='fixed',"):
        x = TF.resize(x, [side], interpolation=TF.InterpolationMode.BICUBIC, antialias=True)
    return TF.center_crop(x, [side, side])
