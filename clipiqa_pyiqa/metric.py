"""CLIP-IQA as a network: encode images once, then score them by any prompts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import FunctionType
from typing import Any, Literal

import torch
from torch import Tensor, nn

from .checks import OVERSHOOT, FilePath, check_keys, check_mapping, check_one_of, check_truth
from .clip.device import Part, is_slow_on_cpu
from .clip.gradient import is_ahead, per_image, untraceable
from .clip.inputs import check_features, check_images
from .clip.model import FrozenCLIP, ImageTower, frozen_clip
from .errors import CLIPIQAError, PromptError
from .prompts.antonym import antonym_scores, column_means, margins
from .prompts.fields import check_backbone, warn_of_positions
from .prompts.heads import OpinionHead, is_head, load_head
from .prompts.learned import CONTEXT_OPTIONS, PromptLearner, check_context
from .prompts.pairs import Columns, PromptPair, Prompts, parse_prompts
from .prompts.prompt_files import PUBLISHED, LearnedType, check_learned_file, load_prompt_file
from .prompts.records import as_texts, column_records
from .text import shown
from .version import __version__
from .weights.checkpoint import open_checkpoint
from .weights.finding import find_file, find_weights
from .weights.names import canonical_backbone, pyiqa_file

ModelType = Literal["clipiqa"] | LearnedType
Precision = Literal["fp32", "bf16", "fp16"]
PosEmbedding = bool | Literal["none", "interpolate", "fixed"] | None

PRECISIONS: dict[Precision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
POS_EMBEDDINGS: dict[PosEmbedding, str] = {
    False: "none",
    None: "none",
    "none": "none",
    True: "interpolate",
    "interpolate": "interpolate",
    "fixed": "fixed",
}
Aggregate = Literal["mean"] | None
CallAggregate = Aggregate | Literal["default"]
"""``aggregate`` of one call; ``'default'`` means the metric's own ``aggregate``."""

Question = Sequence[tuple[PromptPair, ...]] | None
"""The pairs of each score column, whose scores are averaged; None for the metric's own learned prompts or head."""


def is_factory(metric: Any) -> bool:
    return isinstance(metric, type | FunctionType | partial)


def net_of(metric: Any) -> Any:
    """Return the network of a metric, or of a function that makes one; raise ``CLIPIQAError`` for other objects."""
    metric = metric() if is_factory(metric) else metric
    net = getattr(metric, "net", metric)
    if not hasattr(net, "encode_image"):
        raise CLIPIQAError(f"metric must be a CLIP-IQA metric; got a {type(net).__name__}.")
    return net


class TowerMetric(nn.Module):
    """A metric on a frozen CLIP, which it shares and does not own."""

    clip: FrozenCLIP
    min_side: int  # smallest height and width of images, in pixels
    encode_unchecked: Callable[[Tensor], Tensor]
    score: Callable[..., Tensor]

    def __init__(self, model_type: str, precision: Precision):
        super().__init__()
        self.model_type, self._precision = model_type, precision
        check_one_of("precision", precision, PRECISIONS)
        self.dtype: torch.dtype = PRECISIONS[precision]
        self._tower: ImageTower | None = None

    @property
    def precision(self) -> Precision:
        return self._precision

    def provenance(self) -> dict[str, Any]:
        """Return the record of everything that scores depend on."""
        weights = self.clip.weights
        return {
            "metric": self.model_type,
            "version": __version__,
            "backbone": weights.backbone,
            "weights": weights.short,
            "weights_sha256": weights.sha256,
            "quick_gelu": weights.quick_gelu,
            "precision": self.precision,
            **({"cpu_arithmetic": "fp32"} if is_slow_on_cpu(self.dtype) else {}),
        }

    def check(self, x: Tensor, overshoot: float | None = OVERSHOOT) -> None:
        """Raise :class:`ImageError` as :func:`check_images`."""
        check_images(x, overshoot, self.min_side, f"{self.model_type} ({self.clip.weights.backbone})")

    def encode_image(self, x: Tensor) -> Tensor:
        """Return unit features for :meth:`score`: ``(N, D)``, or ``(N, K, D)`` of K patches.

        The features are differentiable, in fp32 (float64 for float64 images). A head on stages takes those of
        :meth:`~clipiqa_pyiqa.CLIPIQA.encode_stages`.
        """
        self.check(x)
        return self.encode_unchecked(x)

    def extra_repr(self) -> str:
        fields = as_texts(self.provenance())
        return ", ".join(f"{key}={value!r}" for key, value in fields.items() if key != "weights_sha256")

    def _image_tower(self, x: Tensor) -> ImageTower:
        dtype = torch.float64 if x.dtype == torch.float64 else self.dtype
        tower = self.clip.image_tower(x.device, dtype)
        self._tower = tower  # only held: another thread may let go of it meanwhile
        return tower

    def _apply(self, fn: Any, recurse: bool = True) -> TowerMetric:
        self._tower = None  # frees the tower on the old device
        return super()._apply(fn, recurse)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_tower": None}


class CLIPIQA(TowerMetric):
    """CLIP-IQA metric: its score says whether an image is closer to "Good photo." or to "Bad photo.".

    Source: Wang, Chan, Loy, AAAI 2023, https://arxiv.org/abs/2207.12396; official code
    https://github.com/IceClear/CLIP-IQA.

    Metrics on the same weights share one frozen CLIP, which moves to the images' device. A ``state_dict``, pickle or
    optimiser holds learned prompts (CLIP-IQA+), never CLIP. float64 images are scored in float64, others in
    ``precision``, also under autocast.

    Args:
        model_type: ``'clipiqa'``, or with learned prompts ``'clipiqa+'``, ``'clipiqa+_rn50_512'`` or
            ``'clipiqa+_vitL14_512'``.
        backbone: ``'RN50'`` (the paper's), another of OpenAI's, such as ``'ViT-B/32'``, or the bundled ``'mini'``.
            Default: that of learned prompts, else RN50.
        pos_embedding: ``False``/``'none'`` removes CLIP's positional embedding: images have any size (Sec. 3.1);
            ``True``/``'interpolate'`` resizes this embedding as the official code does; ``'fixed'`` resizes and crops
            images to CLIP's own input size (Table 2). Default: as for ``backbone``, else ``'none'``.
        prompts: a name, a preset, a pair of texts, or a list of these; default the paper's ``'quality'``. Learned
            prompts need a single pair.
        aggregate: ``'mean'`` averages the pairs' scores; ``None`` keeps a column for each pair.
        template: wording of the pairs, such as ``'A photo of {}.'`` (Table 2).
        precision: ``'fp32'``, ``'bf16'`` or ``'fp16'``, the dtype of the image tower's convolutions. A CPU that is
            slow in it computes in fp32 with rounded numbers.
        clip_weights: a checkpoint file or an open_clip tag; default OpenAI's.
        pretrained_model_path: a file with learned prompts or a head, for :meth:`load_prompts`.
        context: a context to train, ``n_ctx``, ``shared`` and ``init`` of
            :class:`~clipiqa_pyiqa.prompts.learned.PromptLearner`.

    Example:
        >>> metric = CLIPIQA(backbone="mini")  # without a backbone: CLIP's RN50, the paper's
        >>> metric(torch.rand(1, 3, 96, 128)).shape
        torch.Size([1, 1])
    """

    def __init__(
        self,
        model_type: ModelType = "clipiqa",
        backbone: str | None = None,
        pretrained: bool = True,
        pos_embedding: PosEmbedding = None,
        *,
        prompts: Prompts = None,
        aggregate: Aggregate = "mean",
        template: str | None = None,
        precision: Precision = "fp32",
        clip_weights: FilePath | None = None,
        quick_gelu: bool | None = None,
        pretrained_model_path: FilePath | None = None,
        context: Mapping[str, Any] | None = None,
    ):
        check_one_of("model_type", model_type, ("clipiqa", *PUBLISHED))
        check_truth("pretrained", pretrained)
        check_one_of("aggregate", aggregate, ("mean", None))
        check_one_of("quick_gelu", quick_gelu, (None, True, False))
        super().__init__(model_type, precision)
        self.template = template
        self.aggregate = aggregate
        # all that can be refused comes before the weights, which may be downloaded
        self._prompts = parse_prompts(prompts, template)
        _check_learned(model_type, self._prompts, pretrained_model_path, context)
        metadata = _metadata_of(model_type, pretrained_model_path)
        if pretrained_model_path is not None and prompts is not None and "base_positive" in metadata:
            raise PromptError(
                f"{pretrained_model_path} has words of its own: leave out `{{prompts}}`.", options=("prompts",)
            )
        positions = metadata.get("pos_embedding") if pos_embedding is None else pos_embedding
        check_one_of("pos_embedding", positions, POS_EMBEDDINGS)
        self.pos_embedding: str = POS_EMBEDDINGS[positions]
        backbone = canonical_backbone(backbone or metadata.get("backbone", "RN50"))
        if pretrained_model_path is not None:
            check_learned_file(pretrained_model_path, backbone)
        elif pretrained:
            check_backbone(model_type, metadata, backbone)
        self.clip = frozen_clip(find_weights(backbone, clip_weights, quick_gelu))
        self.min_side = 1 if self.pos_embedding == "fixed" else self.clip.cell
        self.prompt_learner: PromptLearner | None = None
        self.head: OpinionHead | None = None
        self._learned_name: str = model_type  # name of the score column of learned prompts or a head
        if model_type != "clipiqa":
            self.prompt_learner = PromptLearner(self.clip, self._prompts[0], **(context or {}))
            if pretrained_model_path is not None:
                self.load_prompts(pretrained_model_path)
            elif pretrained:
                warn_of_positions(model_type, metadata, self.pos_embedding)
                published = find_file(pyiqa_file(metadata["file"]))
                load_prompt_file(self.prompt_learner, published.path, self.pos_embedding)
        self._check_positions()  # after the origin of prompts

    def _check_positions(self) -> None:
        if self.pos_embedding == "interpolate" and not self.clip.has_positions:
            raise CLIPIQAError(
                f"{{pos_embedding}} must be 'none' or 'fixed' for {self.clip.weights.backbone}, which has no "
                "positional embedding; got 'interpolate'.",
                options=("pos_embedding",),
            )

    @property
    def prompts(self) -> tuple[PromptPair, ...]:
        """The metric's own pairs; for learned prompts, the pair of words inside them."""
        return self._prompts if self.prompt_learner is None else (self.prompt_learner.pair,)

    @property
    def score_range(self) -> tuple[float, float]:
        """Lowest and highest score of a call without ``prompts``; a head's scores may lie outside."""
        return (0.0, 1.0) if self.head is None else self.head.score_range

    @property
    def encoding(self) -> tuple[Any, ...]:
        """Everything that features depend on: metrics with equal ``encoding`` share features."""
        weights = self.clip.weights
        on_stages = self.head is not None and self.head.on_stages
        return weights.sha256, weights.quick_gelu, self.precision, self.pos_embedding, on_stages

    @property
    def lower_better(self) -> bool:
        """Whether a low score means a good photo."""
        return self.head is not None and self.head.lower_better

    @property
    def questions(self) -> Columns | None:
        """The metric's own columns of pairs; None for learned prompts and heads."""
        if self.head or self.prompt_learner:
            return None
        if self.aggregate == "mean" and len(self._prompts) > 1:
            return Columns({"score": self._prompts})
        return Columns({pair.name: (pair,) for pair in self._prompts})

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of score columns; learned prompts have the name of their file or ``model_type``."""
        return (self._learned_name,) if self.questions is None else tuple(self.questions)

    def load_prompts(self, path: FilePath) -> None:
        """Load learned prompts or a fitted head.

        Args:
            path: a head of :func:`clipiqa_pyiqa.fit`, learned prompts in our ``.safetensors``, or a checkpoint of pyiqa
                or the official repository. No code in the file is run.
        """
        if self.model_type == "clipiqa":
            raise PromptError("'clipiqa' has no learned prompts: use model_type 'clipiqa+' to load some.")
        self._learned_name = Path(path).stem
        if is_head(open_checkpoint(path)):
            self.head = load_head(path, self.clip, self.pos_embedding).to(self._device)
            self.prompt_learner, self._prompts = None, (self.head.pair,)
            return
        if self.prompt_learner is None:  # a head was loaded before
            self.prompt_learner = PromptLearner(self.clip, self._prompts[0]).to(self._device)
            self.head = None
        load_prompt_file(self.prompt_learner, path, self.pos_embedding)

    @property
    def _device(self) -> torch.device | None:
        return next((tensor.device for tensor in (*self.parameters(), *self.buffers())), None)

    @untraceable  # torch.compile breaks the graph here
    def forward(self, x: Tensor, prompts: Prompts | Columns = None, aggregate: CallAggregate = "default") -> Tensor:
        """Return scores of images.

        Args:
            x: RGB ``(N, 3, H, W)`` or grey ``(N, 1, H, W)`` in [0, 1]; values may exceed this range by 0.5.
            prompts: default the metric's own prompts.
            aggregate: default the metric's own ``aggregate``; not with :class:`~clipiqa_pyiqa.prompts.pairs.Columns`.

        Returns:
            ``(N, 1)`` in [0, 1], high if the positive prompts fit; a head scores on the scale of :attr:`score_range`.
            ``(N, P)`` with ``aggregate=None`` or ``Columns``: one score for each pair or column.

        Raises:
            ImageError: images have a wrong shape or dtype or are too small, or pixels are far outside [0, 1], NaN or
                infinite (pixels are not checked while torch traces).
        """
        question = self._question(prompts, aggregate)  # this may raise, so it comes before the slow encoding
        self.check(x)
        encoded: list[Tensor] = []

        def ask(images: Tensor) -> Tensor:
            features = self.encode_unchecked(images)
            encoded.append(features.detach())
            return self._answer(features, question)

        if question and len(question) > 1:  # several columns need more than one gradient per image
            return ask(x)
        scores = per_image(ask, x)
        if question is None and self.prompt_learner and is_ahead(x):
            of_prompts = self._answer(torch.cat(encoded), question)  # the same scores, with the prompts' gradient
            scores = scores + (of_prompts - of_prompts.detach())
        return scores

    def encode_map(self, x: Tensor) -> Tensor:
        """Return unit features ``(N, D, h, w)`` of places, for :meth:`score`.

        A place is a position in a ResNet's last map, a 32 px cell with its neighbours (``mini``), or a ViT's patch.

        Raises:
            CLIPIQAError: ``pos_embedding`` is ``'fixed'``.
        """
        return self.encode_with_map(x, ("places",))[0]

    def encode_with_map(self, x: Tensor, parts: Sequence[Part] = ("image", "places")) -> list[Tensor]:
        """Return :meth:`encode_image` (without stages) and :meth:`encode_map` from one pass."""
        self.check_map()
        self.check(x)
        return self._image_tower(x).encode(x, self.pos_embedding, *parts)

    def check_map(self) -> None:
        if self.pos_embedding == "fixed":
            raise CLIPIQAError(
                "{pos_embedding} must be 'none' or 'interpolate' for a map; got 'fixed', which crops images.",
                options=("pos_embedding",),
            )

    def score_map(self, x: Tensor, prompts: Prompts | Columns = None) -> Tensor:
        """Return scores of places ``(N, P, h, w)`` in [0, 1], a map for each pair or column."""
        return self.score(self.encode_map(x), prompts, None)

    def encode_stages(self, x: Tensor) -> Tensor:
        """Return image features and statistics of the tower's stages, ``(N, D + K)``."""
        self.check(x)
        return self._image_tower(x).encode_stages(x, self.pos_embedding)

    def encode_unchecked(self, x: Tensor) -> Tensor:
        tower = self._image_tower(x)
        encode = tower.encode_stages if self.head and self.head.on_stages else tower
        return encode(x, self.pos_embedding)

    def margins_unchecked(self, x: Tensor, texts: Tensor, local: bool) -> Tensor:
        """Return margins ``(N, K, P)`` of K places, or of whole images (K = 1); ``texts``: ``(P, 2, D)``."""
        if local:
            places = self._image_tower(x).encode(x, self.pos_embedding, "places")[0]
            features = places.flatten(2).transpose(1, 2).contiguous()  # (N, D, h, w) -> (N, h w, D)
        else:
            features = self.encode_unchecked(x)[:, None]
        return margins(features, texts.to(x.device), self.clip.logit_scale)

    def score(
        self, features: Tensor, prompts: Prompts | Columns = None, aggregate: CallAggregate = "default"
    ) -> Tensor:
        """Return scores of images' features, or maps ``(N, P, h, w)`` of places' features.

        Args:
            features: ``(N, D)`` of :meth:`encode_image`, or ``(N, D, h, w)`` of :meth:`encode_map`.
        """
        question = self._question(prompts, aggregate)
        check_features(features, self.clip.width, can_be_wider=self.head is not None)
        if features.dim() > 2 and question is None and self.head:
            raise PromptError("a fitted head scores whole images only: pass a pair of prompts for a map.")
        return self._answer(features.movedim(1, -1).contiguous(), question).movedim(-1, 1)

    def encode_prompts(self, prompts: Prompts | Columns = None, dtype: torch.dtype = torch.float32) -> Tensor:
        """Return text features ``(P, 2, D)`` of length 1 for the pairs, positive prompt first.

        The features of learned prompts are on the prompts' device; all other features are on the CPU.
        """
        return self._encode(self._question(prompts), dtype)

    def _encode(self, question: Question, dtype: torch.dtype) -> Tensor:
        if question is None:
            if self.prompt_learner is None:
                raise PromptError("a fitted head has no prompts to encode: pass a pair of prompts.")
            return self.prompt_learner(dtype)
        pairs = [pair for pairs_of_column in question for pair in pairs_of_column]
        texts = [text for pair in pairs for text in pair.texts]
        return self.clip.encode_texts(texts, dtype).unflatten(0, (-1, 2))

    def provenance(self) -> dict[str, Any]:
        scores = column_records(self.questions or {})
        if learned := self.head or self.prompt_learner:
            scores[self._learned_name] = learned.record()
        return {**super().provenance(), "pos_embedding": self.pos_embedding, "scores": scores}

    def _question(self, prompts: Prompts | Columns, aggregate: CallAggregate = "default") -> Question:
        if isinstance(prompts, Columns):
            check_one_of("aggregate", aggregate, ("default", None))
            return list(prompts.values())
        pairs = self._prompts if prompts is None else parse_prompts(prompts, self.template)
        check_one_of("aggregate", aggregate, ("mean", None, "default"))
        if prompts is None and (self.head or self.prompt_learner):
            return None
        is_averaged = (self.aggregate if aggregate == "default" else aggregate) == "mean"
        return [pairs] if is_averaged else [(pair,) for pair in pairs]

    def _answer(self, features: Tensor, question: Question) -> Tensor:
        with torch.autocast(features.device.type, enabled=False):
            if self.head is not None:
                if question is None:
                    return self.head.scores(features)
                features = features[..., : len(self.head.direction)]  # leave out the statistics of stages
            texts = self._encode(question, features.dtype).to(features.device)
            scores = antonym_scores(features, texts, self.clip.logit_scale)  # (N, P), or (N, h, w, P) of a map
            return scores if question is None else column_means(scores, list(map(len, question)))


def _check_learned(
    model_type: ModelType,
    prompts: Sequence[PromptPair],
    path: FilePath | None,
    context: Mapping[str, Any] | None,
) -> None:
    """Raise for options of learned prompts that the type of metric cannot use."""
    if model_type == "clipiqa":
        if path is not None or context is not None:
            raise PromptError("'clipiqa' has no learned prompts: use model_type 'clipiqa+' to load or train some.")
        return
    if len(prompts) > 1:
        raise PromptError(f"learned prompts need a single pair as prompts; got {len(prompts)} pairs.")
    if context is not None:
        check_mapping("context", context)
        check_keys(context, CONTEXT_OPTIONS, "`context`")
        check_context(**context)


def _metadata_of(model_type: ModelType, path: FilePath | None) -> dict[str, Any]:
    """Return what is known of a metric's published prompts, and what a file of prompts or a head tells."""
    metadata = {} if model_type == "clipiqa" else PUBLISHED[model_type]._asdict()
    if path is not None:
        metadata |= open_checkpoint(path).metadata
    return metadata


def find_device(name: str | torch.device | None) -> torch.device:
    """Return the named device, by default cuda if available, else cpu; raise ``CLIPIQAError`` for a missing device."""
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, TypeError, ValueError, AssertionError) as error:
        raise CLIPIQAError(
            f"{{device}} must be cpu, cuda, cuda:N or mps, and this machine must have it; got {shown(name)}.",
            options=("device",),
        ) from error
