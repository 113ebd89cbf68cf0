"""What all metrics of the family share: a frozen tower, a view of the image, and the checks of both."""

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any, ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from ..checks import FilePath, check_one_of
from ..clip.arithmetic import at_least_fp32
from ..clip.gradient import per_image, recomputed
from ..clip.model import frozen_clip, middle_square
from ..errors import CLIPIQAError
from ..tower_metric import Precision, TowerMetric, encoding_of
from ..weights.checkpoint import TowerKind
from ..weights.finding import Weights, checked_weights, obtained_file, obtained_weights
from ..weights.published import pyiqa_file

SIDE = 224  # pixels of CLIP's own square input
CHUNK = 16  # patches that are encoded at once


class TowerView(NamedTuple):
    """A view: the parts of an image that a tower encodes."""

    name: str
    pos_embedding: str  # the tower's option: 'none' or 'interpolate'
    min_side: int  # smallest height and width in pixels; 0 means the size of the tower's places
    take: Callable[[Tensor], list[Tensor]]  # returns the parts to encode, each ``(N, 3, h, w)``
    dims: int = 2  # axes of features: ``(N, D)``, or ``(N, K, D)`` of K patches


WHOLE = TowerView("whole image", "none", 0, lambda x: [x])
CROP = TowerView("224 px of the middle", "interpolate", 1, lambda x: [middle_square(x, SIDE)])


def patches(x: Tensor, stride: int) -> list[Tensor]:
    """Return all patches of 224 px, ``(N, 3, 224, 224)``, in reading order."""
    height, width = x.shape[2:]
    return [
        x[:, :, top : top + SIDE, left : left + SIDE]
        for top in range(0, height - SIDE + 1, stride)
        for left in range(0, width - SIDE + 1, stride)
    ]


class FamilyMetric(TowerMetric):
    """A metric of pyiqa: a frozen CLIP tower, a view of the image and a head.

    Args:
        model_type: pyiqa's name of the metric: the class's own, or one of ``further_types``.
        backbone: backbone of the tower.
        clip_weights: the tower's file, or an open_clip tag; default the published file.
        quick_gelu: whether an unpublished file uses QuickGELU.
        pretrained_model_path: the metric's own file, if it has one.
    """

    model_type: str  # of a class: the default
    further_types: ClassVar[Collection[str]] = ()  # pyiqa's other names that the class also builds
    backbone: ClassVar[str]
    view: ClassVar[TowerView]
    score_range: tuple[float, float] = (0.0, 1.0)
    lower_better = False
    has_captions: ClassVar[bool] = False  # whether each image is compared with its caption
    file: Mapping[str, str] = {}  # name and hash of the metric's own file
    tower_file = ""  # pyiqa's file with the metric's own tower

    def __init__(
        self,
        model_type: str | None = None,
        backbone: str | None = None,
        *,
        clip_weights: FilePath | None = None,
        quick_gelu: bool | None = None,
        precision: Precision = "fp32",
        pretrained_model_path: FilePath | None = None,
    ):
        if model_type is None:
            model_type = self.model_type
        check_one_of("model_type", model_type, (self.model_type, *self.further_types))
        super().__init__(model_type, precision)
        if pretrained_model_path is not None and not self.has_own_file:
            raise CLIPIQAError(
                f"{self.model_type} has no file of its own: pass clip_weights=PATH for its tower.",
                options=("clip_weights",),
            )
        weights = self._obtained_tower(backbone, clip_weights, quick_gelu)
        self.clip = frozen_clip(weights)
        self.columns = (self.model_type,)
        self.min_side = self.view.min_side or self.clip.cell
        # a whole image is what CLIP-IQA encodes with pos_embedding='none', so their features are shared
        view_name = "none" if self.view is WHOLE else self.view.name
        self.encoding = encoding_of(weights, precision, view_name, is_on_stages=False)
        self.load(pretrained_model_path)

    def _obtained_tower(self, backbone: str | None, clip_weights: FilePath | None, quick_gelu: bool | None) -> Weights:
        """Find or download the weights of the metric's tower."""
        name = self.backbone if backbone is None else backbone
        if not self.tower_file:
            return obtained_weights(name, clip_weights, quick_gelu)
        if quick_gelu is None:
            quick_gelu = True  # pyiqa's towers are OpenAI's, fine-tuned
        if clip_weights is not None:
            return obtained_weights(name, clip_weights, quick_gelu)
        file = pyiqa_file(self.tower_file)
        return checked_weights(obtained_file(file), file, quick_gelu)

    @property
    def has_fixed_input(self) -> bool:
        return self.view is not WHOLE

    @property
    def has_own_file(self) -> bool:
        """Whether the metric has a file besides its tower's."""
        return False

    def load(self, path: FilePath | None) -> None:
        """Load the metric's own file, by default the published one."""

    def answer(self, features: Tensor) -> Tensor:
        """Return scores ``(N,)`` of unit features, ``(N, D)`` or ``(N, K, D)`` of K patches."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """Return scores ``(N, 1)`` in :attr:`score_range` (high is good) of RGB images ``(N, 3, H, W)`` in [0, 1]."""
        self.check(x)
        return per_image(lambda images: self.answer(self.encode_unchecked(images))[:, None], x)

    def encode_unchecked(self, x: Tensor) -> Tensor:
        tower = self._image_tower(x)
        parts = self.view.take(x.expand(-1, 3, -1, -1).to(tower.dtype))
        if self.view.dims == 2:
            return tower(parts[0], self.view.pos_embedding)
        has_bits_for_gradient = self.clip.tower_kind is TowerKind.RESNET  # a ViT would keep all activations
        encode = tower if has_bits_for_gradient else partial(recomputed, tower)
        parts_at_once = max(1, CHUNK // len(x))
        chunks = (torch.cat(parts[start : start + parts_at_once]) for start in range(0, len(parts), parts_at_once))
        features = torch.cat([encode(chunk, self.view.pos_embedding) for chunk in chunks])
        return features.unflatten(0, (-1, len(x))).transpose(0, 1)

    def score(self, features: Tensor, prompts: None = None) -> Tensor:
        """Return scores ``(N, 1)`` of the tower's features, normalised or not, in any floating dtype.

        Raises:
            CLIPIQAError: features are of another tower, or prompts are given.
        """
        if prompts is not None:
            raise CLIPIQAError(f"{self.model_type} has its own texts: leave out `prompts`.", options=("prompts",))
        if features.ndim != self.view.dims or features.shape[-1] != self.clip.width:
            axes = "N" if self.view.dims == 2 else "N, patches"
            raise CLIPIQAError(
                f"{self.model_type} scores features of {self.clip.weights.backbone}, of shape ({axes}, "
                f"{self.clip.width}); got {tuple(features.shape)}."
            )
        return self.answer(F.normalize(at_least_fp32(features), dim=-1))[:, None]

    def text_features(self, texts: list[str], like: Tensor) -> Tensor:
        """Return unit features ``(P, D)`` of texts, on the device and in the dtype of the image features ``like``."""
        return self.clip.encode_texts(texts, like.dtype).to(like.device)

    def provenance(self) -> dict[str, Any]:
        return {
            **super().provenance(),
            "view": self.view.name,
            **self.file,
            "scores": {self.model_type: {"range": list(self.score_range), "lower_better": False}},
        }
