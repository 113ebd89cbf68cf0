"""CLIP-IQA as a network: encode images once, then score them by any prompts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from .checks import FilePath, check_one_of, check_truth
from .clip.gradient import is_gradient_in_forward, per_image, untraceable
from .clip.model import frozen_clip
from .clip.pixels import check_features
from .errors import PromptError
from .image_features import POS_EMBEDDINGS, ImageEncoder, PosEmbedding
from .prompts.antonym import antonym_scores
from .prompts.column_scores import column_scores, pair_features
from .prompts.heads import OpinionHead, is_head, load_head
from .prompts.learned import PromptLearner
from .prompts.learned_options import check_learned_options, check_loaded_context, check_no_words, learned_metadata
from .prompts.made_for import check_backbone, warn_of_positions
from .prompts.pairs import Prompts, Question, QuestionsByColumn, check_averaged, check_names, score_range
from .prompts.parsing import parse_prompts
from .prompts.prompt_files import check_learned_file, load_prompt_file
from .prompts.published import PUBLISHED, ModelType
from .prompts.questions import (
    Aggregate,
    AskedQuestions,
    CallAggregate,
    asked_questions,
    check_local,
    only_pairs,
)
from .prompts.records import column_records
from .tower_metric import Precision, encoding_of
from .weights.checkpoint import open_checkpoint
from .weights.finding import obtained_file, obtained_weights
from .weights.published import canonical_backbone, pyiqa_file


class CLIPIQA(ImageEncoder):
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
        metadata = learned_metadata(model_type, pretrained_model_path)
        if pretrained_model_path is not None and prompts is not None:
            check_no_words(pretrained_model_path, metadata)
        positions = metadata.get("pos_embedding") if pos_embedding is None else pos_embedding
        check_one_of("pos_embedding", positions, POS_EMBEDDINGS)
        self.pos_embedding: str = POS_EMBEDDINGS[positions]
        backbone = canonical_backbone(metadata.get("backbone", "RN50") if backbone is None else backbone)
        if pretrained_model_path is not None:
            check_learned_file(pretrained_model_path, backbone)
        elif pretrained:
            check_backbone(model_type, metadata, backbone)
        self.clip = frozen_clip(obtained_weights(backbone, clip_weights, quick_gelu))
        self.min_side = 1 if self.has_fixed_input else self.clip.cell
        self.prompt_learner: PromptLearner | None = None
        self.head: OpinionHead | None = None
        self._learned_name: str = model_type  # name of the score column of learned prompts or a head
        if model_type != "clipiqa":
            (self._pair,) = only_pairs(self._prompts, "CLIP-IQA+")  # words for files of prompts that name none
            self.prompt_learner = PromptLearner(self.clip, self._pair, **(context or {}))
            if pretrained_model_path is not None:
                self.load_prompts(pretrained_model_path)
            elif pretrained:
                warn_of_positions(model_type, metadata, self.pos_embedding)
                published = obtained_file(pyiqa_file(metadata["file"]))
                load_prompt_file(self.prompt_learner, published.path, self.pos_embedding, self._pair)
            check_loaded_context(self.prompt_learner, context or {})
        self.check_positions()  # last: an error of a file with prompts tells more

    @property
    def prompts(self) -> tuple[Question, ...]:
        """The metric's own pairs and single texts; the pair of words in learned prompts; the pair of a head."""
        learned = self.head or self.prompt_learner
        return self._prompts if learned is None else (learned.pair,)

    @property
    def score_range(self) -> tuple[float, float]:
        """Lowest and highest score of a call without ``prompts``; a head's scores may lie outside."""
        if self.head is not None:
            return self.head.score_range
        return score_range(self.prompts)

    @property
    def encoding(self) -> tuple[Any, ...]:
        """Everything that features depend on: metrics with equal ``encoding`` share features."""
        is_on_stages = self.head is not None and self.head.is_on_stages
        return encoding_of(self.clip.weights, self.precision, self.pos_embedding, is_on_stages)

    @property
    def lower_better(self) -> bool:
        """Whether a low score means a good photo."""
        return self.head is not None and self.head.lower_better

    @property
    def questions(self) -> QuestionsByColumn | None:
        """The metric's own columns; None for learned prompts and heads."""
        if self.head or self.prompt_learner:
            return None
        if self.aggregate == "mean" and len(self._prompts) > 1:
            return QuestionsByColumn({"score": self._prompts})
        return QuestionsByColumn({question.name: (question,) for question in self._prompts})

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of score columns; learned prompts have the name of their file or ``model_type``."""
        return (self._learned_name,) if self.questions is None else tuple(self.questions)

    def load_prompts(self, path: FilePath) -> None:
        """Load learned prompts or a fitted head; a file that cannot be loaded leaves the metric as it was.

        Args:
            path: a head of :func:`clipiqa_pyiqa.fit`, learned prompts in our ``.safetensors``, or a checkpoint of pyiqa
                or the official repository. No code in the file is run.
        """
        if self.model_type == "clipiqa":
            raise PromptError("'clipiqa' has no learned prompts: use model_type 'clipiqa+' to load some.")
        device = next(self.buffers()).device  # of the prompts or the head until now
        head = None
        learner = None
        if is_head(open_checkpoint(path)):
            head = load_head(path, self.clip, self.pos_embedding).to(device).train(self.training)
        else:
            learner = self.prompt_learner or PromptLearner(self.clip, self._pair).to(device).train(self.training)
            load_prompt_file(learner, path, self.pos_embedding, self._pair)
        self.head = head
        self.prompt_learner = learner
        self._learned_name = Path(path).stem

    @untraceable  # torch.compile breaks the graph here
    def forward(
        self, x: Tensor, prompts: Prompts | QuestionsByColumn = None, aggregate: CallAggregate = "default"
    ) -> Tensor:
        """Return scores of images.

        Args:
            x: RGB ``(N, 3, H, W)`` or grey ``(N, 1, H, W)`` in [0, 1]; values may exceed this range by 0.5.
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

    def score_map(self, x: Tensor, prompts: Prompts | QuestionsByColumn = None) -> Tensor:
        """Return scores of places ``(N, P, h, w)`` in [0, 1], a map for each pair or column; not for single texts."""
        check_local(self._asked_of(prompts, None), self.head)  # this may raise, so it comes before the slow encoding
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
            check_local(asked, self.head)
        return self._answer(features.movedim(1, -1).contiguous(), asked).movedim(-1, 1)

    def encode_prompts(self, prompts: Prompts | QuestionsByColumn = None, dtype: torch.dtype = torch.float32) -> Tensor:
        """Return text features ``(P, 2, D)`` of length 1 for the pairs, positive prompt first.

        The features of learned prompts are on the prompts' device; all other features are on the CPU.
        """
        asked = self._asked_of(prompts, None)
        if asked is None:
            return self._learned_features(dtype)
        for questions in asked:
            only_pairs(questions, "encode_prompts")
        return pair_features(asked, self.clip, dtype)

    def _learned_features(self, dtype: torch.dtype) -> Tensor:
        if self.prompt_learner is None:
            raise PromptError("a fitted head has no prompts to encode: pass a pair of prompts.")
        features: Tensor = self.prompt_learner(dtype)
        return features

    def provenance(self) -> dict[str, Any]:
        scores = column_records(self.questions or {})
        if learned := self.head or self.prompt_learner:
            scores[self._learned_name] = learned.record()
        return {**super().provenance(), "pos_embedding": self.pos_embedding, "scores": scores}

    def _asked_of(
        self, prompts: Prompts | QuestionsByColumn, aggregate: CallAggregate = "default"
    ) -> AskedQuestions | None:
        """Return what is asked for each score column; None for the metric's own learned prompts or head."""
        if isinstance(prompts, QuestionsByColumn):
            return asked_questions(prompts, aggregate, self.aggregate)
        questions = self._prompts if prompts is None else parse_prompts(prompts, self.template)
        asked = asked_questions(questions, aggregate, self.aggregate)
        return None if prompts is None and (self.head or self.prompt_learner) else asked

    def _answer(self, features: Tensor, asked: AskedQuestions | None) -> Tensor:
        with torch.autocast(features.device.type, enabled=False):
            if self.head is not None:
                if asked is None:
                    return self.head.scores(features)
                features = features[..., : len(self.head.direction)]  # leave out the statistics of stages
            if asked is not None:
                return column_scores(features, asked, self.clip)
            texts = self._learned_features(features.dtype).to(features.device)
            return antonym_scores(features, texts, self.clip.logit_scale)  # (N, 1), or (N, h, w, 1) of a map
