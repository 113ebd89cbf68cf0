"""pyiqa's other CLIP metrics; each has a tower, a view of the image and a head."""

from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import islice, product
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .checks import FilePath, check_number, check_one_of, check_text
from .clip.arithmetic import at_least_fp32
from .clip.gradient import per_image, untraced
from .clip.model import frozen_clip, middle_square
from .clip.tokenizer import tokenize
from .errors import CLIPIQAError, WeightsError
from .files import remembered_sha256
from .prompts.antonym import antonym_scores
from .prompts.files import read_prompt_file
from .prompts.learned import woven
from .prompts.pairs import parse_prompts
from .text import shown
from .tower_metric import Precision, TowerMetric, encoding_of
from .weights.checkpoint import Checkpoint, open_checkpoint
from .weights.finding import checked_weights, obtained_file, obtained_weights
from .weights.published import LAION_HEADS, head_file, pyiqa_file

__all__ = ["LIQE", "MACLIP", "MEMBERS", "CLIPScore", "FamilyMetric", "LAIONAes", "QualiCLIP"]

SIDE = 224  # pixels of CLIP's own square input
CHUNK = 16  # patches that are encoded at once


class TowerView(NamedTuple):
    """A view: the parts of an image that a tower encodes."""

    name: str
    pos_embedding: str  # the tower's option: 'none' or 'interpolate'
    min_side: int  # smallest height and width in pixels; 0 means the size of the tower's places
    take: Callable[[Tensor], list[Tensor]]  # returns the parts to encode, each ``(N, 3, h, w)``
    dims: int = 2  # axes of features: ``(N, D)``, or ``(N, K, D)`` of K patches


def _patches(x: Tensor, stride: int) -> list[Tensor]:
    """Return all patches of 224 px, ``(N, 3, 224, 224)``, in reading order."""
    height, width = x.shape[2:]
    return [
        x[:, :, top : top + SIDE, left : left + SIDE]
        for top in range(0, height - SIDE + 1, stride)
        for left in range(0, width - SIDE + 1, stride)
    ]


def _all_patches(x: Tensor) -> list[Tensor]:
    """Return the patches at stride 128, and the image squashed to one patch."""
    squashed = F.interpolate(x, (SIDE, SIDE), mode="bilinear", align_corners=False)
    return [*_patches(x, 128), squashed]


def _fifteen_patches(x: Tensor) -> list[Tensor]:
    """Return at most 15 of the patches at stride 32: every n-th in reading order, n = ⌊count / 15⌋, as pyiqa does.

    So the last rows may be missing: of 28 patches, the first 15 are taken.
    """
    candidates = _patches(x, 32)
    return candidates[:: max(1, len(candidates) // 15)][:15]


WHOLE = TowerView("whole image", "none", 0, lambda x: [x])
CROP = TowerView("224 px of the middle", "interpolate", 1, lambda x: [middle_square(x, SIDE)])
ALL_PATCHES = TowerView("224 px patches at stride 128, and the image squashed", "none", SIDE, _all_patches, dims=3)
FIFTEEN_PATCHES = TowerView("15 patches of 224 px", "interpolate", SIDE, _fifteen_patches, dims=3)


class FamilyMetric(TowerMetric):
    """A metric of pyiqa: a frozen CLIP tower, a view of the image and a head.

    Args:
        model_type: pyiqa's name of the metric: the class's own, or one of ``further_types``.
        backbone: backbone of the tower.
        clip_weights: the tower's file, or an open_clip tag; default the published file.
        quick_gelu: whether an unpublished file uses QuickGELU.
        precision: as for :class:`~clipiqa_pyiqa.CLIPIQA`.
        pretrained_model_path: the metric's own file, if it has one.
    """

    model_type: str  # of a class: the default
    further_types: ClassVar[Collection[str]] = ()  # pyiqa's other names that the class also builds
    types_with_file: ClassVar[Collection[str]] = ()  # names of metrics with a file besides the tower's
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
        model_type = self.model_type if model_type is None else model_type
        check_one_of("model_type", model_type, (self.model_type, *self.further_types))
        super().__init__(model_type, precision)
        if pretrained_model_path is not None and model_type not in self.types_with_file:
            raise CLIPIQAError(
                f"{model_type} has no file of its own: pass clip_weights=PATH for its tower.",
                options=("clip_weights",),
            )
        if self.tower_file and quick_gelu is None:
            quick_gelu = True  # pyiqa's towers are OpenAI's, fine-tuned
        if self.tower_file and clip_weights is None:
            published = pyiqa_file(self.tower_file)
            weights = checked_weights(obtained_file(published), published, quick_gelu)
        else:
            weights = obtained_weights(self.backbone if backbone is None else backbone, clip_weights, quick_gelu)
        self.clip = frozen_clip(weights)
        self.columns = (model_type,)
        self.min_side = self.view.min_side or self.clip.cell
        # a whole image is what CLIP-IQA encodes with pos_embedding='none', so their features are shared
        view_name = "none" if self.view is WHOLE else self.view.name
        self.encoding = encoding_of(weights, precision, view_name, is_on_stages=False)
        own_file = self.load(pretrained_model_path)
        if own_file is not None:
            self.file = {"file": own_file.name, "file_sha256": remembered_sha256(own_file)}

    @property
    def has_fixed_input(self) -> bool:
        return self.view is not WHOLE

    def load(self, path: FilePath | None) -> Path | None:
        """Load the metric's own file, by default the published one, and return its path; None if it has none."""
        return None

    def answer(self, features: Tensor) -> Tensor:
        """Return scores ``(N,)`` of unit features, ``(N, D)`` or ``(N, K, D)`` of K patches."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """Return scores ``(N, 1)`` in :attr:`score_range` (high is good) of RGB images ``(N, 3, H, W)`` in [0, 1].

        Raises:
            ImageError: as for :class:`~clipiqa_pyiqa.CLIPIQA`.
        """
        self.check(x)
        return per_image(lambda images: self.answer(self.encode_unchecked(images))[:, None], x)

    def encode_unchecked(self, x: Tensor) -> Tensor:
        tower = self._image_tower(x)
        parts = self.view.take(x.expand(-1, 3, -1, -1).to(tower.dtype))
        if self.view.dims == 2:
            return tower.encode(parts[0], self.view.pos_embedding, "image")[0]
        step = max(1, CHUNK // len(x))
        chunks = (torch.cat(parts[start : start + step]) for start in range(0, len(parts), step))
        features = torch.cat([tower.encode(chunk, self.view.pos_embedding, "image")[0] for chunk in chunks])
        return features.unflatten(0, (-1, len(x))).transpose(0, 1)  # (K N, D) -> (N, K, D)

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

    def provenance(self) -> dict[str, Any]:
        return {
            **super().provenance(),
            "view": self.view.name,
            **self.file,
            "scores": {self.model_type: {"range": list(self.score_range), "lower_better": False}},
        }


class MACLIP(FamilyMetric):
    """pyiqa's ``maclip``, for batches of any size (Liao et al., AAAI 2026, arXiv 2511.09948).

    Five pairs of texts, and the magnitude of the feature.
    """

    model_type = "maclip"
    backbone = "RN50"
    view = ALL_PATCHES

    def answer(self, features: Tensor) -> Tensor:
        texts = [text for pair in parse_prompts("pyiqa") for text in pair.texts]
        pairs = self.clip.encode_texts(texts, features.dtype).to(features.device).unflatten(0, (-1, 2))
        similar = antonym_scores(features.contiguous(), pairs, self.clip.logit_scale).mean(-1)
        sizes = features.abs()
        sizes = sizes / sizes.std(-1, keepdim=True)
        large = (2 * ((sizes + 1).sqrt() - 1)).mean(-1)
        difference = similar - large
        weight = torch.sigmoid(0.4 + 2 * difference)  # a softmax over 1 + difference and 0.6 - difference
        return (weight * similar + (1 - weight) * large).mean(1)


class QualiCLIP(FamilyMetric):
    """pyiqa's ``qualiclip`` and ``qualiclip+…`` (Agnolucci et al., arXiv 2403.11176).

    Seven pairs of texts, in ``qualiclip+…`` with learned contexts, on a fine-tuned tower. ``pretrained_model_path`` is
    a file with learned prompts of ``qualiclip+…``.
    """

    TEMPERATURE = 2.0
    TEXTS = (
        *("Good photo.", "Bad photo."),
        *("Sharp image.", "Blurry image."),
        *("Sharp edges.", "Blurry edges."),
        *("High-resolution image.", "Low-resolution image."),
        *("Noise-free image.", "Noisy image."),
        *("High-quality image.", "Low-quality image."),
        *("Good picture.", "Bad picture."),
    )
    LEARNED: ClassVar = {
        "qualiclip+": "QualiCLIP+_koniq.pth",
        "qualiclip+-clive": "QualiCLIP+_clive.pth",
        "qualiclip+-flive": "QualiCLIP+_flive.pth",
        "qualiclip+-spaq": "QualiCLIP+_spaq.pth",
    }

    model_type = "qualiclip"
    further_types = tuple(LEARNED)
    types_with_file = further_types
    backbone = "RN50"
    view = WHOLE
    tower_file = "QualiCLIP.pth"

    def __init__(
        self, model_type: str | None = None, backbone: str | None = None, pretrained: bool = True, **options: Any
    ):
        if not pretrained:  # pyiqa's configurations of qualiclip+… pass True
            raise CLIPIQAError("QualiCLIP has no random weights to begin with: leave `pretrained` out.")
        self._encoded_texts: dict[torch.dtype, Tensor] = {}  # not normalised, by the dtype of image features
        super().__init__(model_type, backbone, **options)

    def load(self, path: FilePath | None) -> Path | None:
        if self.model_type not in self.LEARNED:
            checkpoint = self.clip.checkpoint  # holds text features beside the tower
            if checkpoint.shapes.get("prompts_features") != (len(self.TEXTS), self.clip.width):
                raise WeightsError(
                    f"{checkpoint.path} has no prompts_features, so it is not QualiCLIP.pth: pass QualiCLIP.pth."
                )
            self._published_texts = checkpoint["prompts_features"].double()
            return None
        published = pyiqa_file(self.LEARNED[self.model_type])
        file = obtained_file(published).path if path is None else Path(path).expanduser()
        self._embeddings, self._end_places = self._read_learned(file)
        return file

    def _read_learned(self, path: Path) -> tuple[Tensor, Tensor]:
        """Return the embeddings of ``TEXTS`` with a file's contexts, ``(P, L, dim)``, and the places of their ends."""
        length, width = self.clip.checkpoint.shapes["positional_embedding"]
        state, _ = read_prompt_file(path)
        tensors = [tensor.float() for tensor in state.values()]
        count = len(self.TEXTS)
        n_ctx = tensors[0].numel() // (count * width)
        if [tensor.shape for tensor in tensors] != [(count, rows, width) for rows in (n_ctx, 1, length - 1 - n_ctx)]:
            raise WeightsError(f"{path} holds no learned prompts of {self.model_type}: pass a file with its prompts.")
        ctx, prefix, suffix = tensors
        end_places = tokenize(self.TEXTS, length).argmax(1)  # without a context; the end token has the highest id
        return woven(ctx, prefix, suffix, (end_places - 1).tolist()), end_places + n_ctx

    def answer(self, features: Tensor) -> Tensor:
        texts = self._learned_texts(features.dtype) if self.model_type in self.LEARNED else self._published_texts
        pairs = F.normalize(texts, dim=-1).unflatten(0, (-1, 2))
        return antonym_scores(features, pairs.to(features), self.clip.logit_scale / self.TEMPERATURE).mean(-1)

    def _learned_texts(self, dtype: torch.dtype) -> Tensor:
        if dtype not in self._encoded_texts:
            with untraced():
                tower = self.clip.text_tower(torch.device("cpu"), dtype)
                self._encoded_texts[dtype] = tower.encode(self._embeddings.to(dtype), self._end_places)
        return self._encoded_texts[dtype]


class LIQE(FamilyMetric):
    """pyiqa's ``liqe`` and ``liqe_mix``, whose files hold the tower (Zhang et al., CVPR 2023).

    The expected quality on five levels, from patches and texts.

    Args:
        model_type: ``'liqe'`` or ``'liqe_mix'``.
        pretrained: ``'mix'`` for ``liqe_mix``; True or ``'koniq'`` otherwise, as in pyiqa.
        pretrained_model_path: the file, as pyiqa calls ``clip_weights``.
        **options: options of :class:`~clipiqa_pyiqa.family.FamilyMetric`.
    """

    QUALITIES = ("bad", "poor", "fair", "good", "perfect")
    SCENES = ("animal", "cityscape", "human", "indoor", "landscape", "night", "plant", "still_life", "others")
    DISTORTIONS = (
        *("jpeg2000 compression", "jpeg compression", "noise", "blur", "color", "contrast"),
        *("overexposure", "underexposure", "spatial", "quantization", "other"),
    )

    model_type = "liqe"
    further_types = ("liqe_mix",)
    backbone = "ViT-B/32"
    view = FIFTEEN_PATCHES
    score_range = (1.0, 5.0)

    def __init__(
        self,
        model_type: str = "liqe",
        backbone: str | None = None,
        pretrained: bool | str = True,
        *,
        pretrained_model_path: FilePath | None = None,
        **options: Any,
    ):
        check_one_of("model_type", model_type, ("liqe", "liqe_mix"))
        check_one_of("pretrained", pretrained, (True, "koniq", "mix"))
        if model_type == "liqe_mix" and pretrained == "koniq":
            raise CLIPIQAError("liqe_mix was not trained on KonIQ-10k alone: leave `pretrained` out, or take 'liqe'.")
        if model_type == "liqe_mix" or pretrained == "mix":
            model_type = "liqe_mix"
            self.tower_file = "liqe_mix.pt"
            self.level_texts = [
                f"a photo of a {scene} with {distortion} artifacts, which is of {quality} quality"
                for quality, scene, distortion in product(self.QUALITIES, self.SCENES, self.DISTORTIONS)
            ]
        else:
            self.tower_file = "liqe_koniq.pt"
            self.level_texts = [f"a photo with {quality} quality" for quality in self.QUALITIES]
        if pretrained_model_path is not None:
            if options.get("clip_weights") is not None:
                raise CLIPIQAError(
                    "clip_weights and pretrained_model_path both name LIQE's only file: pass one of them.",
                    options=("clip_weights", "pretrained_model_path"),
                )
            options["clip_weights"] = pretrained_model_path
        super().__init__(model_type, backbone, **options)

    def answer(self, features: Tensor) -> Tensor:
        texts = self.clip.encode_texts(self.level_texts, features.dtype).to(features.device)
        logits = self.clip.logit_scale * features.mean(1) @ texts.T  # mean over patches
        shares = logits.softmax(1).unflatten(1, (len(self.QUALITIES), -1)).sum(2)
        return shares @ torch.arange(1, len(self.QUALITIES) + 1).to(shares)  # the expected level, Eqs. 4 and 6


class LAIONAes(FamilyMetric):
    """pyiqa's ``laion_aes``, LAION's aesthetic predictor: a linear function of the image's feature.

    ``pretrained_model_path`` is a file, ``'v2'`` (default) or ``'sa_0_4'`` (v1).
    """

    model_type = "laion_aes"
    types_with_file = ("laion_aes",)
    backbone = "ViT-L/14"
    view = CROP
    score_range = (1.0, 10.0)

    def load(self, path: FilePath | None) -> Path | None:
        name = "v2" if path is None else str(path)
        file = obtained_file(head_file(name)).path if name in LAION_HEADS else Path(name).expanduser()
        self.weight, self.bias = _one_layer(open_checkpoint(file))
        if len(self.weight) != self.clip.width:
            raise WeightsError(
                f"{file} is for features of {len(self.weight)} numbers, but {self.clip.weights.backbone} "
                f"gives {self.clip.width}: pass another backbone or file."
            )
        return file

    def answer(self, features: Tensor) -> Tensor:
        return features @ self.weight.to(features) + self.bias.to(features)


def _one_layer(file: Checkpoint) -> tuple[Tensor, Tensor]:
    """Return a head's linear layers as one layer: weight ``(D,)`` and bias."""
    names = [name for name in file if name.endswith("weight") and len(file.shapes[name]) == 2]
    names.sort(key=lambda name: (len(name), name))  # layer 10 comes after layer 9
    weight = torch.ones(1, 1, dtype=torch.float64)
    bias = torch.zeros(1, dtype=torch.float64)
    try:
        for name in reversed(names):
            bias = bias + weight @ file[name.removesuffix("weight") + "bias"].double()
            weight = weight @ file[name].double()
    except RuntimeError as error:
        raise WeightsError(f"{file.path} holds no linear layers that end in one number: pass another file.") from error
    return weight[0], bias[0]


class CLIPScore(FamilyMetric):
    """pyiqa's ``clipscore``: how well a caption fits an image (Hessel et al., EMNLP 2021, arXiv 2104.08718).

    Args:
        w: factor of the cosine similarities, 0 or more.
        prefix: text before each caption.
        **options: options of :class:`~clipiqa_pyiqa.family.FamilyMetric`.
    """

    model_type = "clipscore"
    backbone = "ViT-B/32"
    view = CROP
    has_captions = True

    def __init__(self, *args: Any, w: float = 2.5, prefix: str = "A photo depicts", **options: Any):
        check_number("w", w, least=0)
        check_text("prefix", prefix)
        self.w = w
        self.score_range = (0.0, w)
        self.prefix = prefix
        super().__init__(*args, **options)

    def answer(self, features: Tensor) -> Tensor:
        raise CLIPIQAError("clipscore needs a caption for each image: call it with caption_list=[TEXT, ...].")

    def forward(self, x: Tensor, caption_list: Sequence[str] | None = None) -> Tensor:
        """Return scores of images against their captions: ``(N,)`` in [0, w].

        Args:
            x: RGB ``(N, 3, H, W)`` in [0, 1].
            caption_list: N captions, cut after 77 tokens.

        Raises:
            CLIPIQAError: a caption is no text, or their number is not that of the images.
        """
        self.check(x)
        captions = [caption_list] if isinstance(caption_list, str) else list(caption_list or ())
        not_texts = [caption for caption in captions if not isinstance(caption, str)]
        if not_texts:
            raise CLIPIQAError(f"clipscore's captions must be texts; got {shown(not_texts[0])}.")
        if len(captions) != len(x):
            raise CLIPIQAError(
                f"clipscore needs a caption for each image, caption_list=[TEXT, ...]; got {len(captions)} captions "
                f"for {len(x)} images."
            )
        tower = self.clip.text_tower(x.device, self._image_tower(x).dtype)
        texts = iter(tower([f"{self.prefix} {caption}" for caption in captions]))

        def scores(images: Tensor) -> Tensor:  # groups of images come in the order of their captions
            features = self.encode_unchecked(images)
            of_images = torch.stack(list(islice(texts, len(images)))).to(features)
            return self.w * (features * of_images).sum(-1).relu()

        return per_image(scores, x)


MEMBERS: dict[str, type[FamilyMetric]] = {  # pyiqa's name -> class, whose first argument is that name
    "maclip": MACLIP,
    "qualiclip": QualiCLIP,
    **dict.fromkeys(QualiCLIP.LEARNED, QualiCLIP),
    "liqe": LIQE,
    "liqe_mix": LIQE,
    "laion_aes": LAIONAes,
    "clipscore": CLIPScore,
}
