"""CLIP-IQA as a network: encode images once, then score them by any prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from .checks import FilePath, check_one_of, check_truth
from .clip.gradient import is_gradient_in_forward, per_image, untraceable
from .clip.model import frozen_clip
from .clip.pixels import check_features
from .errors import CLIPIQAError, PromptError
from .prompts.antonym import column_scores, margins, pair_features
from .prompts.files import (
    PUBLISHED,
    Learned,
    LearnedFile,
    ModelType,
    check_backbone,
    check_learned_options,
    read_learned,
    warn_of_positions,
)
from .prompts.head import OpinionHead
from .prompts.learned import PromptLearner
from .prompts.pairs import (
    Aggregate,
    AskedQuestions,
    CallAggregate,
    Prompts,
    Question,
    QuestionsByColumn,
    asked_questions,
    check_averaged,
    check_local,
    check_names,
    column_records,
    only_pairs,
    parse_prompts,
    score_range,
)
from .tower_metric import Precision, TowerMetric, encoding_of
from .weights.finding import obtained_file, obtained_weights
from .weights.published import canonical_backbone, pyiqa_file

PosEmbedding = bool | Literal["none", "interpolate", "fixed"] | None

POS_EMBEDDINGS: dict[PosEmbedding, str] = {
    False: "none",
    None: "none",
    "none": "none",
    True: "interpolate",
    "interpolate": "interpolate",
    "fixed": "fixed",
}


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
            slow in it computes in fp32 with rounded numbers. ``.half()``, ``.bfloat16()``, ``.float()`` and
            ``.double()`` set it later (``'fp64'`` for double).
        clip_weights: a checkpoint file or an open_clip tag; default OpenAI's.
        pretrained_model_path: a file with learned prompts or a head, for :meth:`load_prompts`.
        context: of prompts to train: options of :class:`~clipiqa_pyiqa.prompts.learned.PromptLearner`, but ``pair``.

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
        if aggregate is None:
            check_names([question.name for question in self._prompts])
        else:
            check_averaged(self._prompts)
        check_learned_options(model_type, self._prompts, pretrained_model_path, context)
        published = None if model_type == "clipiqa" else PUBLISHED[model_type]
        made_for: dict[str, Any] = {} if published is None else published._asdict()
        file: LearnedFile | None = None
        if pretrained_model_path is not None:
            file = read_learned(pretrained_model_path)
            file.check_options(prompts is not None, context)
            made_for |= file.metadata
        positions = made_for.get("pos_embedding") if pos_embedding is None else pos_embedding
        check_one_of("pos_embedding", positions, POS_EMBEDDINGS)
        self.pos_embedding: str = POS_EMBEDDINGS[positions]
        backbone = canonical_backbone(made_for.get("backbone", "RN50") if backbone is None else backbone)
        if file is not None:
            check_backbone(file.path, file.metadata, backbone)
        elif pretrained:
            check_backbone(model_type, made_for, backbone)
        self.clip = frozen_clip(obtained_weights(backbone, clip_weights, quick_gelu))
        self.min_side = 1 if self.has_fixed_input else self.clip.cell
        self.prompt_learner: PromptLearner | None = None
        self.head: OpinionHead | None = None
        self._learned_name: str = model_type  # name of the score column of learned prompts or a head
        if published is not None:
            (self._pair,) = only_pairs(self._prompts, "CLIP-IQA+")  # words for files of prompts that name none
            self.prompt_learner = PromptLearner(self.clip, self._pair, **(context or {}))
            if file is not None:
                self._take(file)
                self._learned_name = file.path.stem
            elif pretrained:
                warn_of_positions(model_type, made_for, self.pos_embedding)
                file = read_learned(obtained_file(pyiqa_file(published.file)).path)
                file.check_options(prompts is not None, context)
                self._take(file)
        # last: an error of a file with prompts tells more
        if self.pos_embedding == "interpolate" and not self.clip.has_positions:
            raise CLIPIQAError(
                f"pos_embedding must be 'none' or 'fixed' for {backbone}, which has no positional embedding; got "
                "'interpolate'.",
                options=("pos_embedding",),
            )

    @property
    def prompts(self) -> tuple[Question, ...]:
        """The metric's own pairs and single texts; the pair of words in learned prompts; the pair of a head."""
        return self._prompts if self.learned is None else (self.learned.pair,)

    @property
    def learned(self) -> Learned | None:
        """The learned prompts or the head that answer a call without ``prompts``."""
        return self.prompt_learner or self.head

    @property
    def score_range(self) -> tuple[float, float]:
        """Lowest and highest score of a call without ``prompts``; a head's scores may lie outside."""
        return score_range(self._prompts) if self.learned is None else self.learned.score_range

    @property
    def encoding(self) -> tuple[Any, ...]:
        """Everything that features depend on: metrics with equal ``encoding`` share features."""
        is_on_stages = self.head is not None and self.head.is_on_stages
        return encoding_of(self.clip.weights, self.precision, self.pos_embedding, is_on_stages)

    @property
    def lower_better(self) -> bool:
        """Whether a low score means a good photo."""
        return self.learned is not None and self.learned.lower_better

    @property
    def questions(self) -> QuestionsByColumn | None:
        """The metric's own columns; None for learned prompts and heads."""
        if self.learned is not None:
            return None
        if self.aggregate == "mean" and len(self._prompts) > 1:
            return QuestionsByColumn({"score": self._prompts})
        return QuestionsByColumn({question.name: (question,) for question in self._prompts})

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of score columns; learned prompts have the name of their file or ``model_type``."""
        return (self._learned_name,) if self.questions is None else tuple(self.questions)

    @property
    def has_fixed_input(self) -> bool:
        return self.pos_embedding == "fixed"

    def load_prompts(self, path: FilePath) -> None:
        """Load learned prompts or a fitted head; a file that cannot be loaded leaves the metric as it was.

        Args:
            path: a head of :func:`clipiqa_pyiqa.fit`, learned prompts in our ``.safetensors``, or a checkpoint of pyiqa
                or the official repository. No code in the file is run.
        """
        if self.model_type == "clipiqa":
            raise PromptError("'clipiqa' has no learned prompts: use model_type 'clipiqa+' to load some.")
        file = read_learned(path)
        self._take(file)
        self._learned_name = file.path.stem

    def _take(self, file: LearnedFile) -> None:
        """Take the learned prompts or the head in a file; this changes nothing if it raises."""
        file.check_clip(self.clip.weights, self.pos_embedding)
        device = next(self.buffers()).device  # of the prompts or the head until now
        if file.head is not None:
            self.head = file.head.to(device).train(self.training)
            self.prompt_learner = None
            return
        learner = self.prompt_learner or PromptLearner(self.clip, self._pair).to(device).train(self.training)
        file.load_into(learner, self._pair)
        self.head = None
        self.prompt_learner = learner

    @untraceable  # torch.compile breaks the graph here
    def forward(
        self, x: Tensor, prompts: Prompts | QuestionsByColumn = None, aggregate: CallAggregate = "default"
    ) -> Tensor:
        """Return scores of images.

        If the images require a gradient, it is computed in this call already, a few images at a time, so that memory
        does not grow with the batch. That takes the time of a backward pass even if none follows;
        ``torch.no_grad()`` avoids it.

        Args:
            x: RGB ``(N, 3, H, W)`` or grey ``(N, 1, H, W)`` in [0, 1]; values may exceed this range by 0.5. Images that
                require a gradient, as those of a network that still learns, may exceed it further, with a warning.
            prompts: default the metric's own prompts.
            aggregate: default the metric's own ``aggregate``; not with
                :class:`~clipiqa_pyiqa.prompts.pairs.QuestionsByColumn`.

        Returns:
            ``(N, 1)`` in [0, 1], high if the positive prompts fit; a head scores on the scale of :attr:`score_range`.
            ``(N, P)`` with ``aggregate=None`` or ``QuestionsByColumn``: one score for each pair or column. The score of
            a single text is a cosine, in [-1, 1].

        Raises:
            ImageError: images have a wrong shape or dtype or are too small, or pixels are far outside [0, 1], NaN or
                infinite (pixels are not checked while torch traces).
        """
        asked = self._asked_of(prompts, aggregate)  # this may raise, so it comes before the slow encoding
        self.check(x)
        encoded: list[Tensor] = []  # the features of each image, for the gradient of learned prompts below

        def ask(images: Tensor) -> Tensor:
            features = self.encode_unchecked(images)
            encoded.append(features.detach())
            return self._answer(features, asked)

        if asked and len(asked) > 1:  # several columns need more than one gradient per image
            return ask(x)
        scores = per_image(ask, x)
        if asked is None and self.prompt_learner and is_gradient_in_forward(x):
            of_prompts = self._answer(torch.cat(encoded), asked)  # the same scores, with the prompts' gradient
            scores = scores + (of_prompts - of_prompts.detach())
        return scores

    def encode_map(self, x: Tensor) -> Tensor:
        """Return unit features ``(N, D, h, w)`` of places, for :meth:`score`.

        A place is a position in a ResNet's last map, a 32 px cell with its neighbours (``mini``), or a ViT's patch.

        Raises:
            CLIPIQAError: ``pos_embedding`` is ``'fixed'``.
        """
        return self.encode_with_map(x, ("places",))[0]

    def encode_with_map(self, x: Tensor, parts: Sequence[str] = ("image", "places")) -> list[Tensor]:
        """Return :meth:`encode_image` (without stages) and :meth:`encode_map` from one pass."""
        self.check_map()
        self.check(x)
        return self._image_tower(x).encode(x, self.pos_embedding, *parts)

    def check_map(self) -> None:
        """Raise unless the tower sees whole images."""
        if self.has_fixed_input:
            raise CLIPIQAError(
                "pos_embedding must be 'none' or 'interpolate' for a map; got 'fixed', which crops images.",
                options=("pos_embedding",),
            )

    def encode_stages(self, x: Tensor) -> Tensor:
        """Return image features and statistics of the tower's stages, ``(N, D + K)``."""
        self.check(x)
        return torch.cat(self._image_tower(x).encode(x, self.pos_embedding, "image", "stages"), dim=1)

    def encode_unchecked(self, x: Tensor) -> Tensor:
        parts = ("image", "stages") if self.head and self.head.is_on_stages else ("image",)
        return torch.cat(self._image_tower(x).encode(x, self.pos_embedding, *parts), dim=1)

    def margins_unchecked(self, x: Tensor, texts: Tensor, local: bool) -> Tensor:
        """Return margins ``(N, K, P)`` of K places, or of whole images (K = 1); ``texts``: ``(P, 2, D)``."""
        if local:
            places = self._image_tower(x).encode(x, self.pos_embedding, "places")[0]
            features = places.flatten(2).transpose(1, 2).contiguous()  # (N, D, h, w) -> (N, h w, D)
        else:
            features = self.encode_unchecked(x)[:, None]
        return margins(features, texts.to(x.device), self.clip.logit_scale)

    def score_map(self, x: Tensor, prompts: Prompts | QuestionsByColumn = None) -> Tensor:
        """Return scores of places ``(N, P, h, w)`` in [0, 1], a map for each pair or column; not for single texts."""
        # this may raise, so it comes before the slow encoding
        check_local(self._asked_of(prompts, None), self.head is not None)
        return self.score(self.encode_map(x), prompts, None)

    def score(
        self, features: Tensor, prompts: Prompts | QuestionsByColumn = None, aggregate: CallAggregate = "default"
    ) -> Tensor:
        """Return scores of images' features, or maps ``(N, P, h, w)`` of places' features.

        Args:
            features: ``(N, D)`` of :meth:`encode_image`, or ``(N, D, h, w)`` of :meth:`encode_map`.
        """
        asked = self._asked_of(prompts, aggregate)
        check_features(features, self.clip.width, can_be_wider=self.head is not None)
        if features.dim() > 2:
            check_local(asked, self.head is not None)
        return self._answer(features.movedim(1, -1).contiguous(), asked).movedim(-1, 1)

    def encode_prompts(self, prompts: Prompts | QuestionsByColumn = None, dtype: torch.dtype = torch.float32) -> Tensor:
        """Return text features ``(P, 2, D)`` of length 1 for the pairs, positive prompt first.

        The features of learned prompts are on the prompts' device; all other features are on the CPU.
        """
        asked = self._asked_of(prompts, None)
        if asked is None and self.prompt_learner is not None:
            features: Tensor = self.prompt_learner(dtype)
            return features
        if asked is None:
            raise PromptError("a fitted head has no prompts to encode: pass a pair of prompts.")
        for questions in asked:
            only_pairs(questions, "encode_prompts")
        return pair_features(asked, self.clip, dtype)

    def provenance(self) -> dict[str, Any]:
        scores = column_records(self.questions or {})
        if self.learned is not None:
            scores[self._learned_name] = self.learned.record()
        return {**super().provenance(), "pos_embedding": self.pos_embedding, "scores": scores}

    def _asked_of(
        self, prompts: Prompts | QuestionsByColumn, aggregate: CallAggregate = "default"
    ) -> AskedQuestions | None:
        """Return what is asked for each score column; None for the metric's own learned prompts or head."""
        if isinstance(prompts, QuestionsByColumn):
            return asked_questions(prompts, aggregate, self.aggregate)
        questions = self._prompts if prompts is None else parse_prompts(prompts, self.template)
        asked = asked_questions(questions, aggregate, self.aggregate)
        return None if prompts is None and self.learned is not None else asked

    def _answer(self, features: Tensor, asked: AskedQuestions | None) -> Tensor:
        with torch.autocast(features.device.type, enabled=False):
            if asked is not None:
                features = features[..., : self.clip.width]  # without the statistics of stages, which only a head reads
                return column_scores(features, asked, self.clip)
            assert self.learned is not None  # nothing else answers without questions
            return self.learned.scores(features)  # (N, 1), or (N, h, w, 1) of a map
