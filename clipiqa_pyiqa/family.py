"""pyiqa's other CLIP metrics; each has a tower, a view of the image and a head."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from .checks import FilePath
from .clip.gradient import per_image, recomputed, untraced, wide
from .clip.model import frozen_clip, middle_square, one_thread, unit_text_features
from .clip.text import tokenize
from .errors import CLIPIQAError, WeightsError
from .files.reading import sha256_of
from .metric import Precision, TowerMetric
from .prompts.antonym import antonym_scores
from .prompts.files import read_prompt_file
from .prompts.learned import woven
from .prompts.pairs import parse_prompts
from .weights.checkpoint import Checkpoint, open_checkpoint
from .weights.published import LAION_HEADS, find_file, find_weights, head_file, pyiqa_file, weights_in

SIDE = 224  # pixels of CLIP's own square input


class TowerInput(NamedTuple):
    name: str
    pos_embedding: str  # the tower's option: 'none' or 'interpolate'
    min_side: int  # smallest height and width in pixels; 0 means the size of the tower's places
    take: Callable[[Tensor], list[Tensor]]  # returns the parts to encode, each ``(N, 3, h, w)``
    dims: int = 2  # axes of features: ``(N, D)``, or ``(N, K, D)`` of K patches


def _fifteen_patches(x: Tensor) -> list[Tensor]:
    """Return LIQE's patches: at most 15 of the patches at stride 32, evenly spaced in reading order."""
    patches = _patches(x, 32)
    return patches[:: max(1, len(patches) // 15)][:15]


def _patches(x: Tensor, stride: int) -> list[Tensor]:
    tops, lefts = (range(0, size - SIDE + 1, stride) for size in x.shape[2:])
    return [x[:, :, top : top + SIDE, left : left + SIDE] for top in tops for left in lefts]


WHOLE = TowerInput("whole image", "none", 0, lambda x: [x])
CROP = TowerInput("224 px of the middle", "interpolate", 1, lambda x: [middle_square(x, SIDE)])
ALL_PATCHES = TowerInput(  # of MA-CLIP
    "224 px patches at stride 128, and the image squashed",
    "none",
    SIDE,
    lambda x: [*_patches(x, 128), F.interpolate(x, (SIDE, SIDE), mode="bilinear", align_corners=False)],
    dims=3,
)
FIFTEEN_PATCHES = TowerInput("15 patches of 224 px", "interpolate", SIDE, _fifteen_patches, 3)


CHUNK = 16  # patches that are encoded at once


class CLIPMetric(TowerMetric):
    """A metric of pyiqa: a frozen CLIP tower, a view of the image and a head.

    Args:
        model_type: pyiqa's name of the metric.
        backbone: backbone of the tower.
        clip_weights: the tower's file, or an open_clip tag; default the published file.
        quick_gelu: whether an unpublished file uses QuickGELU.
        pretrained_model_path: the metric's own file, if it has one.
    """

    model_type: str  # of a class: the default
    backbone: ClassVar[str]
    view: ClassVar[TowerInput]
    score_range: ClassVar[tuple[float, float]] = (0.0, 1.0)
    lower_better = False
    takes_captions: ClassVar[bool] = False  # whether each image is compared with its caption
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
        super().__init__(model_type or self.model_type, precision)
        if pretrained_model_path is not None and not self.has_own_file:
            raise CLIPIQAError(f"{self.model_type} has no file of its own: pass clip_weights=PATH for its tower.")
        if self.tower_file and quick_gelu is None:
            quick_gelu = True  # pyiqa's towers are OpenAI's, fine-tuned
        if self.tower_file and clip_weights is None:
            file = pyiqa_file(self.tower_file)
            weights = weights_in(find_file(file), file, quick_gelu)
        else:
            weights = find_weights(backbone or self.backbone, clip_weights, quick_gelu)
        self.clip = frozen_clip(weights)
        self.columns = (self.model_type,)
        self.min_side = self.view.min_side or self.clip.cell
        self.pos_embedding, seen = ("none", "none") if self.view is WHOLE else ("fixed", self.view.name)
        self.encoding = weights.sha256, weights.quick_gelu, precision, seen, False  # as of CLIPIQA
        self.load(pretrained_model_path)

    @property
    def has_own_file(self) -> bool:
        """Whether the metric has a file besides its tower's."""
        return False

    def load(self, path: FilePath | None) -> None:
        """Load the metric's own file, by default the published one."""

    def answer(self, features: Tensor) -> Tensor:
        raise CLIPIQAError(f"{self.model_type} needs a caption for each image: call it with caption_list=[TEXT, ...].")

    def forward(self, x: Tensor) -> Tensor:
        """Return scores ``(N, 1)`` in :attr:`score_range` (high is good) of RGB images ``(N, 3, H, W)`` in [0, 1]."""
        self.check(x)
        return per_image(lambda images: self.answer(self.encode_unchecked(images))[:, None], x)

    def encode_unchecked(self, x: Tensor) -> Tensor:
        tower = self._image_tower(x)
        views = self.view.take(x.expand(-1, 3, -1, -1).to(tower.mean.dtype))
        if self.view.dims == 2:
            return tower(views[0], self.view.pos_embedding)
        step = max(1, CHUNK // len(x))
        keeps_signs = self.clip.weights.backbone.startswith("RN")  # a ViT would keep all activations
        encode = tower if keeps_signs else partial(recomputed, tower)
        chunks = (torch.cat(views[start : start + step]) for start in range(0, len(views), step))
        features = torch.cat([encode(chunk, self.view.pos_embedding) for chunk in chunks])
        return features.unflatten(0, (-1, len(x))).transpose(0, 1)

    def score(self, features: Tensor, prompts: None = None) -> Tensor:
        """Return scores ``(N, 1)`` of the tower's features, normalised or not, in any floating dtype.

        Raises:
            CLIPIQAError: features are of another tower, or prompts are given.
        """
        if prompts is not None:
            raise CLIPIQAError(f"{self.model_type} has its own texts: leave out `prompts`.")
        if features.ndim != self.view.dims or features.shape[-1] != self.clip.width:
            axes = "N" if self.view.dims == 2 else "N, patches"
            raise CLIPIQAError(
                f"{self.model_type} scores features of {self.clip.weights.backbone}, of shape ({axes}, "
                f"{self.clip.width}); got {tuple(features.shape)}."
            )
        return self.answer(F.normalize(wide(features), dim=-1))[:, None]

    def texts(self, texts: list[str], features: Tensor) -> Tensor:
        return self.clip.encode_texts(texts, features.dtype).to(features.device)

    def provenance(self) -> dict[str, Any]:
        return {
            **super().provenance(),
            "view": self.view.name,
            **self.file,
            "scores": {self.model_type: {"range": list(self.score_range), "lower_better": False}},
        }


class CLIPScore(CLIPMetric):
    """pyiqa's ``clipscore`` (Hessel et al., EMNLP 2021, arXiv 2104.08718).

    Args:
        w: factor of the cosine similarities.
        prefix: text before each caption.
        **options: options of :class:`~clipiqa_pyiqa.family.CLIPMetric`.
    """

    model_type = "clipscore"
    backbone = "ViT-B/32"
    view = CROP
    score_range = (0.0, 2.5)
    takes_captions = True

    def __init__(self, *args: Any, w: float = 2.5, prefix: str = "A photo depicts", **options: Any):
        self.w, self.prefix = w, prefix
        super().__init__(*args, **options)

    def forward(self, x: Tensor, caption_list: Sequence[str] | None = None) -> Tensor:
        """Return scores of images against their captions: ``(N,)`` in [0, w].

        Args:
            x: RGB ``(N, 3, H, W)`` in [0, 1].
            caption_list: N captions, cut after 77 tokens.

        Raises:
            CLIPIQAError: the number of captions is not the number of images.
        """
        self.check(x)
        captions = [caption_list] if isinstance(caption_list, str) else list(caption_list or ())
        if len(captions) != len(x) or not all(isinstance(caption, str) for caption in captions):
            raise CLIPIQAError(
                f"clipscore needs a caption for each image, caption_list=[TEXT, ...]; got {len(captions)} captions "
                f"for {len(x)} images."
            )
        tower = self.clip.text_tower(x.device, self._image_tower(x).mean.dtype)
        texts = unit_text_features(tower, [f"{self.prefix} {caption}" for caption in captions])
        done = 0

        def ask(images: Tensor) -> Tensor:
            nonlocal done
            features = self.encode_unchecked(images)
            theirs = texts[done : done + len(images)].to(features)
            done += len(images)
            return self.w * (features * theirs).sum(-1).relu()

        return per_image(ask, x)


class LAIONAes(CLIPMetric):
    """pyiqa's ``laion_aes``; ``pretrained_model_path`` is a file, ``'v2'`` (default) or ``'sa_0_4'`` (v1)."""

    model_type = "laion_aes"
    backbone = "ViT-L/14"
    view = CROP
    score_range = (1.0, 10.0)

    @property
    def has_own_file(self) -> bool:
        return True

    def load(self, path: FilePath | None) -> None:
        name = "v2" if path is None else str(path)
        file = find_file(head_file(name)).path if name in LAION_HEADS else Path(name).expanduser()
        self.weight, self.bias = _row(open_checkpoint(file))
        self.file = {"file": file.name, "file_sha256": sha256_of(file)}
        if len(self.weight) != self.clip.width:
            raise WeightsError(
                f"{file} is for features of {len(self.weight)} numbers, but {self.clip.weights.backbone} "
                f"gives {self.clip.width}: pass another backbone or file."
            )

    def answer(self, features: Tensor) -> Tensor:
        return features @ self.weight.to(features) + self.bias.to(features)


def _row(file: Checkpoint) -> tuple[Tensor, Tensor]:
    """Return a head's linear layers as one layer: weight ``(D,)`` and bias."""
    names = [name for name in sorted(file) if name.endswith("weight") and len(file.shapes[name]) == 2]
    names.sort(key=len)  # layer 10 comes after layer 9
    weight, bias = torch.ones(1, 1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    try:
        for name in reversed(names):
            bias = bias + weight @ file[name.removesuffix("weight") + "bias"].double()
            weight = weight @ file[name].double()
    except RuntimeError:  # layers that do not fit together, or that end in several numbers
        names = []
    if not names:
        raise WeightsError(f"{file.path} holds no head of laion_aes: linear layers that end in one number are needed.")
    return weight[0], bias[0]


QUALITIES = ("bad", "poor", "fair", "good", "perfect")
SCENES = ("animal", "cityscape", "human", "indoor", "landscape", "night", "plant", "still_life", "others")
DISTORTIONS = (
    "jpeg2000 compression",
    "jpeg compression",
    "noise",
    "blur",
    "color",
    "contrast",
    "overexposure",
    "underexposure",
    "spatial",
    "quantization",
    "other",
)


class LIQE(CLIPMetric):
    """pyiqa's ``liqe`` and ``liqe_mix``, whose files hold the tower (Zhang et al., CVPR 2023)."""

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
        is_mix = model_type == "liqe_mix" or pretrained == "mix"
        self.tower_file = "liqe_mix.pt" if is_mix else "liqe_koniq.pt"
        self.asked = [f"a photo with {quality} quality" for quality in QUALITIES]
        if is_mix:
            self.asked = [
                f"a photo of a {scene} with {distortion} artifacts, which is of {quality} quality"
                for quality, scene, distortion in product(QUALITIES, SCENES, DISTORTIONS)
            ]
        if pretrained_model_path:
            options["clip_weights"] = pretrained_model_path
        super().__init__("liqe_mix" if is_mix else model_type, backbone, **options)

    def answer(self, features: Tensor) -> Tensor:
        logits = self.clip.logit_scale * features.mean(1) @ self.texts(self.asked, features).T  # mean over patches
        shares = logits.softmax(1).unflatten(1, (len(QUALITIES), -1)).sum(2)
        return shares @ torch.arange(1, len(QUALITIES) + 1).to(shares)  # the expected level, Eqs. 4 and 6


class MACLIP(CLIPMetric):
    """pyiqa's ``maclip``, for batches of any size (Liao et al., AAAI 2026, arXiv 2511.09948)."""

    model_type = "maclip"
    backbone = "RN50"
    view = ALL_PATCHES

    def answer(self, features: Tensor) -> Tensor:
        texts = [text for pair in parse_prompts("pyiqa") for text in pair.texts]
        pairs = self.texts(texts, features).unflatten(0, (-1, 2))
        similar = antonym_scores(features.contiguous(), pairs, self.clip.logit_scale).mean(-1)
        sizes = features.abs()
        sizes = sizes / sizes.std(-1, keepdim=True)
        large = (2 * ((sizes + 1).sqrt() - 1)).mean(-1)
        difference = similar - large
        weight = torch.sigmoid(0.4 + 2 * difference)  # a softmax over 1 + difference and 0.6 - difference
        return (weight * similar + (1 - weight) * large).mean(1)


TEMPERATURE = 2.0
TEXTS = (
    "Good photo.",
    "Bad photo.",
    "Sharp image.",
    "Blurry image.",
    "Sharp edges.",
    "Blurry edges.",
    "High-resolution image.",
    "Low-resolution image.",
    "Noise-free image.",
    "Noisy image.",
    "High-quality image.",
    "Low-quality image.",
    "Good picture.",
    "Bad picture.",
)
LEARNED = {
    "qualiclip+": "QualiCLIP+_koniq.pth",
    "qualiclip+-clive": "QualiCLIP+_clive.pth",
    "qualiclip+-flive": "QualiCLIP+_flive.pth",
    "qualiclip+-spaq": "QualiCLIP+_spaq.pth",
}


class QualiCLIP(CLIPMetric):
    """pyiqa's ``qualiclip`` and ``qualiclip+…`` (Agnolucci et al., arXiv 2403.11176).

    ``pretrained_model_path`` is a file with learned prompts of ``qualiclip+…``.
    """

    model_type = "qualiclip"
    backbone = "RN50"
    view = WHOLE
    tower_file = "QualiCLIP.pth"

    def __init__(
        self, model_type: str | None = None, backbone: str | None = None, pretrained: bool = True, **options: Any
    ):
        if not pretrained:  # pyiqa's configurations of qualiclip+… pass True
            raise CLIPIQAError("QualiCLIP has no random weights to begin with: leave `pretrained` out.")
        super().__init__(model_type, backbone, **options)

    @property
    def has_own_file(self) -> bool:
        return self.model_type in LEARNED

    def load(self, path: FilePath | None) -> None:
        self._texts: dict[torch.dtype, Tensor] = {}  # text features, by the dtype of image features
        if not self.has_own_file:
            found = self.clip.checkpoint
            if found.shapes.get("prompts_features") != (len(TEXTS), self.clip.width):
                raise WeightsError(
                    f"{found.path} has no prompts_features, so it is not QualiCLIP.pth: pass QualiCLIP.pth."
                )
            texts = found["prompts_features"].double()
            self._texts = dict.fromkeys((torch.float32, torch.float64), texts)
        else:
            file = find_file(pyiqa_file(LEARNED[self.model_type])).path if path is None else Path(path).expanduser()
            self._prompts, self._ends = self._read_learned(file)
            self.file = {"file": file.name, "file_sha256": sha256_of(file)}

    def answer(self, features: Tensor) -> Tensor:
        if features.dtype not in self._texts:
            with untraced(), one_thread():
                tower = self.clip.text_tower(torch.device("cpu"), features.dtype)
                self._texts[features.dtype] = tower.encode(self._prompts.to(features.dtype), self._ends)
        texts = F.normalize(self._texts[features.dtype], dim=-1).unflatten(0, (-1, 2))
        return antonym_scores(features, texts.to(features), self.clip.logit_scale / TEMPERATURE).mean(-1)

    def _read_learned(self, path: Path) -> tuple[Tensor, Tensor]:
        length, width = self.clip.checkpoint.shapes["positional_embedding"]
        ends = tokenize(TEXTS, length).argmax(1)  # without learned tokens; the end-of-text token has the highest id
        tensors = [tensor.float() for tensor in read_prompt_file(path)[0].values()]
        count = tensors[0].numel() // (len(TEXTS) * width)
        if [tensor.shape for tensor in tensors] != [
            (len(TEXTS), rows, width) for rows in (count, 1, length - 1 - count)
        ]:
            raise WeightsError(f"{path} holds no learned prompts of {self.model_type}: pass a file with its prompts.")
        ctx, prefix, suffix = tensors
        return woven(ctx, prefix, suffix, (ends - 1).tolist()), ends + count


MEMBERS: dict[str, type[CLIPMetric]] = {  # pyiqa's name -> class, whose first argument is that name
    "maclip": MACLIP,
    "qualiclip": QualiCLIP,
    **dict.fromkeys(LEARNED, QualiCLIP),
    "liqe": LIQE,
    "liqe_mix": LIQE,
    "laion_aes": LAIONAes,
    "clipscore": CLIPScore,
}
