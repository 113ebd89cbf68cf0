"""CLIP-IQA as pyiqa builds it: encode the image once, ask as often as you like."""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from .clip import compiled
from .clip.compiled import is_compiled
from .clip.gradient import constant, per_image
from .clip.inputs import OVERSHOOT, check_features, check_images
from .clip.model import ImageTower, check_size, frozen_clip
from .errors import CLIPIQAError, ImageError, PromptError, shown
from .errors.arguments import checked
from .prompts.antonym import antonym_scores, column_means
from .prompts.files import PUBLISHED, LearnedType, load_prompt_file, published_prompt_file
from .prompts.heads import OpinionHead, is_head, load_head, read_metadata
from .prompts.learned import Context, PromptLearner
from .prompts.pairs import Columns, PromptPair, Prompts, parse_prompts
from .prompts.provenance import in_words, question_record, tower_record
from .weights.selection import find_weights

if TYPE_CHECKING:
    import pandas

ModelType = Literal["clipiqa"] | LearnedType
Precision = Literal["fp32", "bf16", "fp16"]
PosEmbedding = bool | Literal["none", "interpolate", "fixed"] | None

PRECISIONS: dict[Precision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
POS_EMBEDDINGS: dict[PosEmbedding, Literal["none", "interpolate", "fixed"]] = {
    False: "none",
    None: "none",
    "none": "none",
    True: "interpolate",
    "interpolate": "interpolate",
    "fixed": "fixed",
}
Aggregate = Literal["mean"] | None


class Own(Enum):
    """The default of ``aggregate`` in a call, where None is a value of its own: as the metric was created."""

    OWN = "own"

    def __repr__(self) -> str:
        return self.name


OWN = Own.OWN


def choice(option: str, value: Any, choices: Mapping[Any, Any]) -> Any:
    """What a value stands for. Raises ``CLIPIQAError`` if it is none of the choices."""
    try:
        return choices[value]
    except (KeyError, TypeError):
        names = (each for each in choices if isinstance(each, str) or each is choices[each])  # no synonyms
        known = ", ".join(map(repr, names))
        raise CLIPIQAError(f"{option}={shown(value)} is not known: choose one of {known}.") from None


def net_of(metric: Any) -> Any:
    """Return the scoring module behind what was given as a metric.

    Args:
        metric: A :class:`CLIPIQA`, what ``pyiqa.create_metric('clipiqa')`` returns, or a function without arguments
            that makes one of the two.

    Raises:
        CLIPIQAError: It does not encode images, so it is no CLIP-IQA.
    """
    is_made = isinstance(metric, nn.Module) or hasattr(metric, "encode_image") or hasattr(metric, "net")
    if not is_made and callable(metric):
        metric = metric()
    net = getattr(metric, "net", metric)
    if not hasattr(net, "encode_image"):
        raise CLIPIQAError(f"a CLIP-IQA metric is needed; got a {type(net).__name__}.")
    return net


class CLIPIQA(nn.Module):
    """CLIP-IQA: is this image closer to "Good photo." or to "Bad photo."?

    Source: Wang, Chan, Loy, *Exploring CLIP for Assessing the Look and Feel of Images*, AAAI 2023,
    https://arxiv.org/abs/2207.12396; official code https://github.com/IceClear/CLIP-IQA.

    The metric owns no tensors but learned prompts (CLIP-IQA+), the only thing that can be trained. The frozen CLIP is
    shared between all metrics that use the same weights, follows the device of the images, and is in no ``state_dict``,
    pickle or optimiser. Images in float64 are scored in float64; otherwise ``precision`` decides, also under autocast.

    Args:
        model_type: ``'clipiqa'``; or, with learned prompts, ``'clipiqa+'``, ``'clipiqa+_rn50_512'`` or
            ``'clipiqa+_vitL14_512'``.
        backbone: ``'RN50'`` (the paper's), ``'RN101'``, ``'RN50x4'``, ``'RN50x16'``, ``'RN50x64'``, ``'ViT-B/32'``,
            ``'ViT-B/16'``, ``'ViT-L/14'``; or ``'mini'``, which comes with this package and needs no download.
            Default ``'RN50'``, or the one that the file at ``pretrained_model_path`` was made on.
        pretrained: of the names with ``+``: load the published prompts of that name. If false, there is no score in
            evaluation before prompts were trained or loaded.
        pos_embedding: ``False``/``'none'`` drops CLIP's positional embedding, so that any image size goes in (Sec.
            3.1); ``True``/``'interpolate'`` resizes it as the official code does; ``'fixed'`` resizes and crops the
            image to CLIP's own input instead (Table 2). Default ``'none'``, or as for the file.
        prompts: a name, a preset, a pair of texts or a list of them; default the paper's ``'quality'``. Prompts are
            learned around the words of a single pair.
        aggregate: ``'mean'`` averages the pairs' scores, ``None`` keeps one column per pair.
        template: re-words the pairs, such as ``'A photo of {}.'`` (Table 2).
        precision: ``'fp32'``, ``'bf16'`` or ``'fp16'``: the dtype of the image tower's convolutions. Where a CPU is
            slower in it than in fp32, weights and pixels are rounded to it and computed in fp32.
        clip_weights: a checkpoint file, or an open_clip tag; default OpenAI's.
        quick_gelu: whether an unknown checkpoint file was trained with QuickGELU; known ones are known.
        pretrained_model_path: a file of learned prompts, or of a head of :func:`clipiqa_pyiqa.fit`, in place of the
            published ones; see :meth:`load_prompts`.
        context: shape and start of a context to be trained, such as ``{'n_ctx': 16, 'shared': True, 'init':
            'random'}``; see :class:`~clipiqa_pyiqa.prompts.learned.Context`. Loaded prompts bring their own.

    Raises:
        CLIPIQAError: a ``ValueError``, for any option that cannot be honoured; see :mod:`clipiqa_pyiqa.errors`.

    Example:
        >>> metric = CLIPIQA(backbone="mini")  # without a backbone: CLIP's RN50, the paper's
        >>> metric(torch.rand(1, 3, 96, 128)).shape
        torch.Size([1, 1])
    """

    @checked
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
        clip_weights: str | Path | None = None,
        quick_gelu: bool | None = None,
        pretrained_model_path: str | Path | None = None,
        context: Context | Mapping[str, Any] | None = None,
    ):
        super().__init__()
        self.model_type: str = choice("model_type", model_type, {name: name for name in ("clipiqa", *PUBLISHED)})
        self.template = template
        self._prompts: tuple[PromptPair, ...] = parse_prompts(prompts, template)
        self.aggregate: Aggregate = choice("aggregate", aggregate, {"mean": "mean", None: None})
        made_on = {} if pretrained_model_path is None else read_metadata(pretrained_model_path)
        positions = made_on.get("pos_embedding") if pos_embedding is None else pos_embedding
        self.pos_embedding: str = choice("pos_embedding", positions, POS_EMBEDDINGS)
        self.precision = precision
        self.dtype: torch.dtype = choice("precision", precision, PRECISIONS)
        self.clip = frozen_clip(find_weights(backbone or made_on.get("backbone", "RN50"), clip_weights, quick_gelu))
        if self.pos_embedding == "interpolate" and not self.clip.has_positions:
            raise CLIPIQAError(
                f"pos_embedding='interpolate' resizes a positional embedding, but {self.clip.weights.backbone} has "
                "none: use 'none', or 'fixed' for its own 224 px."
            )
        self._tower: ImageTower | None = None
        self.prompt_learner: PromptLearner | None = None
        self.head: OpinionHead | None = None
        self._learned_name: str = model_type  # of the score column that learned prompts or a head give
        if model_type != "clipiqa":
            if len(self._prompts) > 1:
                raise PromptError(f"prompts are learned around one pair of texts, but {len(self._prompts)} pairs came.")
            self.prompt_learner = PromptLearner(self.clip, self._prompts[0], Context.parse(context))
            if pretrained_model_path is not None:
                self.load_prompts(pretrained_model_path)
            elif pretrained:
                self.load_prompts(published_prompt_file(model_type, self.clip.weights.backbone))
                self._learned_name = model_type
        elif pretrained_model_path is not None or context is not None:
            raise PromptError("'clipiqa' has no learned prompts: use model_type 'clipiqa+' to load or train some.")

    @property
    def prompts(self) -> tuple[PromptPair, ...]:
        """The metric's own pairs; with learned prompts, the pair around which they were learned."""
        return self._prompts if self.prompt_learner is None else (self.prompt_learner.pair,)

    @property
    def score_range(self) -> tuple[float, float]:
        """The lowest and the highest score of a plain call."""
        return (0.0, 1.0) if self.head is None else self.head.score_range

    @property
    def lower_better(self) -> bool:
        """Whether a low score of a plain call means a good photo, as on the scale of some people's scores."""
        return self.head is not None and self.head.lower_better

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the score columns of a plain call; learned prompts are called as their file, or as the published."""
        if self.head is not None or self.prompt_learner is not None:
            return (self._learned_name,)
        names = tuple(pair.name for pair in self._prompts)
        return names if self.aggregate is None or len(names) == 1 else ("score",)

    def score_files(self, paths: Any, prompts: Any = None, **options: Any) -> pandas.DataFrame:
        """Score image files: the short way, which reads every kind of photo with our own reader.

        Args:
            paths: files, folders and globs, one or several, as text or ``Path``.
            prompts: what to ask, one column each; default what the metric was made to ask.
            **options: of :func:`~clipiqa_pyiqa.score_paths`: ``batch_size``, ``max_side``, ``device``, …; by default on
                the metric's own device.

        Returns:
            Index ``path``, in order; one column per question, named as :attr:`columns`, and ``error``, which says why a
            file has no score.

        Raises:
            ImageError: there is nothing to score.
            PromptError: prompts that cannot be used.

        Example:
            >>> net = CLIPIQA(backbone="mini")
            >>> net.score_files("no-such-photo.jpg")["error"].tolist()
            ["'no-such-photo.jpg' does not exist."]
        """
        import pandas

        from . import score_paths  # the front door, as scoring is built on this module

        run = score_paths(self, paths, prompts, **{"device": self._device, **options})
        rows = list(run)
        if not rows:
            raise ImageError("there are no images to score: name files, folders or globs.")
        nothing = (float("nan"),) * len(run.header.columns)
        index = pandas.Index([row.path for row in rows], name="path", dtype=object)
        frame = pandas.DataFrame([row.scores or nothing for row in rows], index, list(run.header.columns), float)
        return frame.assign(error=[row.error for row in rows])

    @checked
    def load_prompts(self, path: str | Path) -> None:
        """Load learned prompts, whose ``n_ctx``, context's shape and words are those of the file, or a fitted head.

        Args:
            path: a head of :func:`clipiqa_pyiqa.fit`; our own ``.safetensors``, a checkpoint of pyiqa's or the official
                repository's; no pickle is run.

        Raises:
            PromptError: this metric learns none, the file holds none, or they belong to another backbone or width.
            WeightsError: the file is missing or damaged, or holds code.
        """
        if self.model_type == "clipiqa":
            raise PromptError("'clipiqa' has no learned prompts: use model_type 'clipiqa+' to load some.")
        self._learned_name = Path(path).stem
        if is_head(read_metadata(path)):
            self.head = load_head(path, self.clip, self.pos_embedding).to(self._device)
            self.prompt_learner, self._prompts = None, (self.head.pair,)
            return
        if self.prompt_learner is None:  # a head was loaded before
            self.prompt_learner = PromptLearner(self.clip, self._prompts[0]).to(self._device)
            self.head = None
        load_prompt_file(self.prompt_learner, path, self.pos_embedding)

    @property
    def _device(self) -> torch.device | None:
        """Where the metric's own tensors are, if it has any."""
        return next((tensor.device for tensor in (*self.parameters(), *self.buffers())), None)

    def forward(self, x: Tensor, prompts: Prompts | Columns = None, aggregate: Aggregate | Own = OWN) -> Tensor:
        """Score images.

        Args:
            x: ``(N, 3, H, W)``, RGB in [0, 1], or grey ``(N, 1, H, W)``. Pixels may lie outside by 0.5, since a
                network overshoots.
            prompts: other questions for this call; default the metric's own, or its learned prompts.
            aggregate: ``'mean'`` or ``None`` for this call; default the metric's own. Not with
                :class:`~clipiqa_pyiqa.prompts.pairs.Columns`, which say themselves what is averaged.

        Returns:
            Scores in [0, 1], high where the positive prompts fit: ``(N, 1)``, or ``(N, P)`` with ``aggregate=None``, or
            a column for each of ``Columns``.

        Raises:
            ImageError: wrong shape or dtype, an empty batch, too small an image, pixels far outside [0, 1], NaN or
                infinity; where torch traces, compiles or exports, pixels are not looked at.
            PromptError: prompts that cannot be used.
        """
        pairs, sizes = self._question(prompts, aggregate)  # a bad question fails before the image is encoded
        self.check(x)

        def ask(images: Tensor) -> Tensor:
            return self._answer(self.encode_unchecked(images), pairs, sizes)

        # A column of one value per image has its gradient ready early; prompts that are learning need their own too.
        return ask(x) if len(sizes) > 1 or (pairs is None and self.training) else per_image(ask, x)

    def encode_image(self, x: Tensor) -> Tensor:
        """Encode images once, to be scored with :meth:`score` as often as needed.

        Args:
            x: ``(N, 3, H, W)``, RGB in [0, 1]; normalised inside.

        Returns:
            Unit features ``(N, D)``, fp32 (float64 for float64 images), differentiable with respect to ``x``. A head
            that was fitted on stages gets their statistics, too: see :meth:`encode_stages`.
        """
        self.check(x)
        return self.encode_unchecked(x)

    def encode_map(self, x: Tensor) -> Tensor:
        """Encode the places of images once, to be scored with :meth:`score` as often as needed.

        Args:
            x: as for :meth:`encode_image`.

        Returns:
            Unit features ``(N, D, h, w)``, otherwise as those of :meth:`encode_image`. A place is a position of a
            ResNet's last map, a cell of 32 px seen with its neighbours on ``mini``, or a patch of a ViT.

        Raises:
            ImageError: as :meth:`encode_image`.
            CLIPIQAError: ``pos_embedding='fixed'``.
        """
        self.check_map()
        self.check(x)
        return self.encode_map_unchecked(x)

    def encode_map_unchecked(self, x: Tensor) -> Tensor:
        """:meth:`encode_map` for images that passed :meth:`check` already, and a metric :meth:`check_map`."""
        x = x.expand(-1, 3, -1, -1)  # grey is three equal channels
        return self._image_tower(x).encode_map(x, self.pos_embedding)

    def encode_with_map(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """:meth:`encode_image`, without statistics of stages, and :meth:`encode_map` from one pass."""
        self.check_map()
        self.check(x)
        x = x.expand(-1, 3, -1, -1)  # grey is three equal channels
        return self._image_tower(x).with_map(x, self.pos_embedding)

    def check_map(self) -> None:
        """Raise :class:`CLIPIQAError` if this metric sees images in a way of which there is no map."""
        if self.pos_embedding == "fixed":
            raise CLIPIQAError(
                "pos_embedding='fixed' sees the middle of the image at 224 px, so there is no map of the image: use "
                "'none' or 'interpolate', or score windows of it (clipiqa_pyiqa.maps.finer.window_map)."
            )

    def score_map(self, x: Tensor, prompts: Prompts | Columns = None) -> Tensor:
        """Score each place of images: where they look good and where they do not.

        Neighbouring places see each other, and the score of the image is not the mean of its map. Smoothing, and the
        size of the image: :func:`clipiqa_pyiqa.maps.places.quality_map`.

        Args:
            x: ``(N, 3, H, W)``, as for :meth:`forward`.
            prompts: as for :meth:`forward`; default the metric's own, or its learned prompts.

        Returns:
            ``(N, P, h, w)`` in [0, 1], a map for each pair, or for each of ``Columns``; h and w as :meth:`encode_map`.

        Raises:
            ImageError, PromptError: as :meth:`forward`.
            CLIPIQAError: as :meth:`encode_map`.
        """
        question = self._question(prompts, *(() if isinstance(prompts, Columns) else (None,)))
        return self._answer_places(self.encode_map(x), *question)

    def encode_stages(self, x: Tensor) -> Tensor:
        """:meth:`encode_image`, and behind it mean and deviation of every channel of every stage: ``(N, D + K)``."""
        self.check(x)
        x = x.expand(-1, 3, -1, -1)  # grey is three equal channels
        return self._image_tower(x).encode_stages(x, self.pos_embedding)

    def encode_unchecked(self, x: Tensor) -> Tensor:
        """:meth:`encode_image` for images that passed :meth:`check` already."""
        x = x.expand(-1, 3, -1, -1)  # grey is three equal channels
        if is_compiled() and not (self.head is not None and self.head.on_stages):
            self._hold_tower(x.device, self._dtype_for(x))
            return compiled.encode(x, self.clip, self._dtype_for(x), self.pos_embedding)
        tower = self._image_tower(x)
        if self.head is not None and self.head.on_stages:
            return tower.encode_stages(x, self.pos_embedding)
        return tower(x, self.pos_embedding)

    def check(self, x: Tensor, overshoot: float | None = OVERSHOOT) -> None:
        """Raise :class:`ImageError` for images that cannot be scored, or whose pixels lie further outside [0, 1].

        Without a limit, NaN and infinity pass too.
        """
        check_images(x, overshoot)
        if is_compiled():
            return
        check_size(x, self._image_tower(x), self.pos_embedding)

    def score(self, features: Tensor, prompts: Prompts | Columns = None, aggregate: Aggregate | Own = OWN) -> Tensor:
        """Score images that are encoded already.

        Args:
            features: unit features ``(N, D)`` from :meth:`encode_image`, or ``(N, D, h, w)`` from :meth:`encode_map`.
            prompts, aggregate: as for :meth:`forward`.

        Returns:
            As :meth:`forward`; of places, ``(N, P, h, w)`` with a map in place of each score.
        """
        question = self._question(prompts, aggregate)
        check_features(features, self.clip.width, more=self.head is not None)
        return self._answer_places(features, *question) if features.dim() == 4 else self._answer(features, *question)

    @checked
    def encode_prompts(self, prompts: Prompts | Columns = None, dtype: torch.dtype = torch.float32) -> Tensor:
        """Unit text features of prompt pairs, ``(P, 2, D)``, positive first; each text is encoded once.

        They are on the CPU; those of the learned prompts, which ``None`` asks for where there are any, on their device.
        """
        return self._encode(self._question(prompts)[0], dtype)

    def _encode(self, pairs: tuple[PromptPair, ...] | None, dtype: torch.dtype) -> Tensor:
        """:meth:`encode_prompts` for pairs that are parsed already; None is the learned prompts."""
        if pairs is None:
            if self.prompt_learner is None:
                raise PromptError("a fitted head has no prompts of its own: name a pair to encode.")
            return self.prompt_learner(dtype)
        texts = [text for pair in pairs for text in (pair.positive, pair.negative)]
        return self.clip.encode_texts(texts, dtype).unflatten(0, (-1, 2))

    def provenance(self) -> dict[str, Any]:
        """Return which CLIP-IQA this is, as JSON values: everything that the scores of a plain call depend on.

        ``scores`` maps each of :attr:`columns` to its record; see :mod:`clipiqa_pyiqa.prompts.provenance`.
        ``cpu_arithmetic`` is the dtype of a CPU's arithmetic, where that is another than ``precision``.
        """
        if self.head is not None:
            scores = {self._learned_name: self.head.record()}
        elif self.prompt_learner is not None:
            scores = {self.columns[0]: self.prompt_learner.record()}
        elif len(self.columns) == len(self._prompts):
            scores = {name: question_record([pair]) for name, pair in zip(self.columns, self._prompts, strict=True)}
        else:
            scores = {self.columns[0]: question_record(self._prompts)}
        return {
            "metric": self.model_type,
            **tower_record(self.clip.weights, self.precision, self.dtype),
            "pos_embedding": self.pos_embedding,
            "scores": scores,
        }

    def extra_repr(self) -> str:
        told = {**in_words(self.provenance()), "aggregate": str(self.aggregate).lower()}
        if self.prompt_learner is not None and self.prompts[0].positive.endswith("."):
            told["note"] = "the second full stop is the official code's, which adds one to each prompt"
        return ", ".join(f"{key}={value!r}" for key, value in told.items() if key != "weights_sha256")

    def _question(
        self, prompts: Prompts | Columns, aggregate: Aggregate | Own = OWN
    ) -> tuple[tuple[PromptPair, ...] | None, tuple[int, ...]]:
        """What is asked: pairs, or None for the learned prompts; and how many of them each column averages."""
        if isinstance(prompts, Columns):
            if aggregate is not OWN:
                raise PromptError(
                    f"columns say themselves what is averaged, but aggregate={shown(aggregate)} came: leave it."
                )
            return prompts.pairs, prompts.sizes
        pairs = self.prompts if prompts is None else parse_prompts(prompts, self.template)
        if aggregate is OWN:
            aggregate = self.aggregate
        else:
            choice("aggregate", aggregate, {"mean": "mean", None: None})
        if prompts is None and self.head is not None:
            return None, (1,)
        sizes = (1,) * len(pairs) if aggregate is None else (len(pairs),)
        return None if prompts is None and self.prompt_learner is not None else pairs, sizes

    def _answer_places(self, features: Tensor, pairs: tuple[PromptPair, ...] | None, sizes: tuple[int, ...]) -> Tensor:
        if pairs is None and self.head is not None:
            raise PromptError("a fitted head scores whole images: name a pair of prompts to see where.")
        scores = self._answer(features.permute(0, 2, 3, 1).flatten(0, 2), pairs, sizes)  # (N h w, P)
        return scores.unflatten(0, (len(features), *features.shape[2:])).permute(0, 3, 1, 2)

    def _answer(self, features: Tensor, pairs: tuple[PromptPair, ...] | None, sizes: tuple[int, ...]) -> Tensor:
        if self.head is not None:
            if pairs is None:
                with torch.autocast(features.device.type, enabled=False):
                    return self.head.scores(features)
            features = features[:, : len(self.head.direction)]  # without what else the head looks at
        texts = self._encode(pairs, features.dtype).to(features.device)
        with torch.autocast(features.device.type, enabled=False):
            return column_means(antonym_scores(features, texts, self.clip.logit_scale), sizes)

    def _image_tower(self, x: Tensor) -> ImageTower:
        """The shared tower for this image's device and dtype; holding it keeps it alive."""
        self._tower = self.clip.image_tower(x.device, self._dtype_for(x))
        return self._tower

    @constant
    def _hold_tower(self, device: torch.device, dtype: torch.dtype) -> None:
        """Keep alive what a compiled call will ask for."""
        self._tower = self.clip.image_tower(device, dtype)

    def _dtype_for(self, x: Tensor) -> torch.dtype:
        return torch.float64 if x.dtype == torch.float64 else self.dtype

    def _apply(self, fn: Any, recurse: bool = True) -> CLIPIQA:
        self._tower = None  # let go of the device that the module moves away from
        return super()._apply(fn, recurse)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_tower": None}


def find_device(name: str | torch.device | None) -> torch.device:
    """Return the device of that name; without a name, cuda if there is one, else cpu.

    Raises:
        CLIPIQAError: no such device is known, or it is not on this machine.
    """
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError, ValueError) as error:
        raise CLIPIQAError(f"unknown device {shown(name)}: use cpu, cuda, cuda:N or mps.") from error
    found = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if (device.index or 0) >= found.get(device.type, 0):
        there = [f"cuda:{n}" for n in range(found["cuda"])] + ["mps"] * found["mps"]
        raise CLIPIQAError(f"device {str(name)!r} is not available here: use one of {', '.join(['cpu', *there])}.")
    return device


Work = Literal["score", "maps", "stages"]
PICTURE = 18
"""Bytes per pixel of a picture that is scored: its 8 bits, their copy in a batch, and the batch in fp32."""

# Bytes per pixel of the towers beside it: peaks, rounded up (tests/measure/scoring_memory.py; docs/performance.md).
_MINI: dict[Work, int] = {"score": 76, "maps": 86, "stages": 76}
_RESNET: dict[Work, int] = {"score": 110, "maps": 110, "stages": 210}  # by a stem of 32 channels, RN50's
_VIT, _VIT_TOKENS = 45, 70  # of normalised pixels; and for each number in a token of its patch


def scoring_bytes(net: Any, device: torch.device, work: Work = "score") -> int:
    """Return about how many bytes of main memory each pixel of a picture takes while it is scored.

    Args:
        net: A ``CLIPIQA``; of anything else only the picture itself counts.
        device: Where it scores; an accelerator has memory of its own, and says itself when it is full.
        work: ``'maps'`` with the scores of places, ``'stages'`` with the statistics of the tower's stages.
    """
    clip = getattr(net, "clip", None)
    if clip is None or device.type != "cpu" or net.pos_embedding == "fixed":
        return PICTURE
    if not clip.has_positions:
        return PICTURE + _MINI[work]
    width, _, _, side = clip.checkpoint.shapes["visual.conv1.weight"]
    if "visual.proj" in clip.checkpoint:
        return PICTURE + _VIT + math.ceil(_VIT_TOKENS * width / side**2)
    return PICTURE + _RESNET[work] * width // 32
