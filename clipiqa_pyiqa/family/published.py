"""The published metrics of the family."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..clip.gradient import per_image, untraced
from ..clip.text import tokenize
from ..errors import CLIPIQAError, WeightsError
from ..files.reading import sha256_of
from ..prompts.antonym import antonym_scores
from ..prompts.pairs import parse_prompts
from ..weights.checkpoint import Checkpoint, open_checkpoint
from ..weights.published import LAION_HEADS, head_file, pyiqa_file
from ..weights.selection import find_file
from .member import ALL_PATCHES, CROP, FIFTEEN_PATCHES, WHOLE, CLIPMetric


def pairs(features: Tensor, texts: Tensor, scale: float) -> Tensor:
    """Return the mean probability of the positive texts in pairs ``(P, 2, D)``: ``(N,)`` or ``(N, K)``."""
    return antonym_scores(features.flatten(0, -2), texts, scale).mean(1).view(features.shape[:-1])


class CLIPScore(CLIPMetric):
    """pyiqa's ``clipscore`` (Hessel et al., EMNLP 2021, arXiv 2104.08718).

    Args:
        w: factor of the cosine similarities.
        prefix: text before each caption.
        **options: options of :class:`~clipiqa_pyiqa.family.member.CLIPMetric`.
    """

    backbone = "ViT-B/32"
    view = CROP
    score_range = (0.0, 2.5)
    takes_captions = True

    def __init__(
        self, model_type: str = "clipscore", *args: Any, w: float = 2.5, prefix: str = "A photo depicts", **options: Any
    ):
        self.w, self.prefix = w, prefix
        super().__init__(model_type, *args, **options)

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
        dtype = self._image_tower(x).mean.dtype
        with untraced():
            tower = self.clip.text_tower(x.device, dtype)
            texts = F.normalize(tower([f"{self.prefix} {caption}" for caption in captions]), dim=-1)
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

    backbone = "ViT-L/14"
    view = CROP
    score_range = (1.0, 10.0)

    def __init__(self, model_type: str = "laion_aes", *args: Any, **options: Any):
        super().__init__(model_type, *args, **options)

    def load(self, path: str | Path | None) -> None:
        name = "v2" if path is None else str(path)
        self.head_path = find_file(head_file(name)).path if name in LAION_HEADS else Path(name).expanduser()
        self.weight, self.bias = _row(open_checkpoint(self.head_path))
        self.file = {"file": self.head_path.name, "file_sha256": sha256_of(self.head_path)}
        if len(self.weight) != self.clip.width:
            raise WeightsError(
                f"{self.head_path} is for features of {len(self.weight)} numbers, but {self.clip.weights.backbone} "
                f"gives {self.clip.width}: pass another backbone or file."
            )

    def answer(self, features: Tensor) -> Tensor:
        return features @ self.weight.to(features) + self.bias.to(features)


def _row(file: Checkpoint) -> tuple[Tensor, Tensor]:
    names = [name for name in sorted(file) if name.endswith("weight") and len(file.shapes[name]) == 2]
    names.sort(key=len)  # layer 10 comes after layer 9
    width = file.shapes[names[0]][1] if names else 0
    weight, bias = torch.eye(width, dtype=torch.float64), torch.zeros(width, dtype=torch.float64)
    try:
        for name in names:
            layer = file[name].double()
            weight, bias = layer @ weight, layer @ bias + file[name.removesuffix("weight") + "bias"].double()
    except RuntimeError:  # shapes of layers that do not fit together
        names = []
    if not names or len(weight) != 1:
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
        pretrained_model_path: str | Path | None = None,
        clip_weights: str | Path | None = None,
        **options: object,
    ):
        is_mix = model_type == "liqe_mix" or pretrained == "mix"
        self.tower_file = "liqe_mix.pt" if is_mix else "liqe_koniq.pt"
        self.asked = [f"a photo with {quality} quality" for quality in QUALITIES]
        if is_mix:
            self.asked = [
                f"a photo of a {scene} with {distortion} artifacts, which is of {quality} quality"
                for quality, scene, distortion in product(QUALITIES, SCENES, DISTORTIONS)
            ]
        tower = pretrained_model_path or clip_weights
        super().__init__("liqe_mix" if is_mix else model_type, backbone, clip_weights=tower, **options)  # type: ignore[arg-type]

    def answer(self, features: Tensor) -> Tensor:
        logits = self.clip.logit_scale * features.mean(1) @ self.texts(self.asked, features).T  # mean over patches
        shares = logits.softmax(1).unflatten(1, (len(QUALITIES), -1)).sum(2)
        return shares @ torch.arange(1, len(QUALITIES) + 1).to(shares)  # the expected level, Eqs. 4 and 6


class MACLIP(CLIPMetric):
    """pyiqa's ``maclip``, for batches of any size (Liao et al., AAAI 2026, arXiv 2511.09948)."""

    backbone = "RN50"
    view = ALL_PATCHES

    def answer(self, features: Tensor) -> Tensor:
        texts = [text for pair in parse_prompts("pyiqa") for text in (pair.positive, pair.negative)]
        similar = pairs(features, self.texts(texts, features).unflatten(0, (-1, 2)), self.clip.logit_scale)
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

    backbone = "RN50"
    view = WHOLE
    tower_file = "QualiCLIP.pth"

    def load(self, path: str | Path | None) -> None:
        self._texts: dict[torch.dtype, Tensor] = {}  # text features, by the dtype of image features
        if self.model_type not in LEARNED:
            super().load(path)
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
            with untraced():
                tower = self.clip.text_tower(torch.device("cpu"), features.dtype)
                self._texts[features.dtype] = tower.encode(self._prompts.to(features.dtype), self._ends)
        texts = F.normalize(self._texts[features.dtype], dim=-1).unflatten(0, (-1, 2))
        return pairs(features, texts.to(features), self.clip.logit_scale / TEMPERATURE)

    def _read_learned(self, path: Path) -> tuple[Tensor, Tensor]:
        file = open_checkpoint(path)
        length, width = self.clip.checkpoint.shapes["positional_embedding"]
        shape = file.shapes.get("prompt_learner.ctx", ())
        ends = tokenize(TEXTS, length).argmax(1)  # without learned tokens; the end-of-text token has the highest id
        needed = (len(TEXTS), 1, width), (len(TEXTS), length - 1 - (shape[1] if len(shape) == 3 else 0), width)
        parts = [f"prompt_learner.token_{part}" for part in ("prefix", "suffix")]
        if len(shape) != 3 or tuple(file.shapes.get(part) for part in parts) != needed:
            raise WeightsError(f"{path} holds no learned prompts of {self.model_type}: pass a file with its prompts.")
        context, prefix, suffix = (file[name].float() for name in ("prompt_learner.ctx", *parts))
        half = shape[1] // 2
        rows = [
            torch.cat([prefix[i], context[i, :half], suffix[i, : end - 1], context[i, half:], suffix[i, end - 1 :]])
            for i, end in enumerate(ends.tolist())
        ]
        return torch.stack(rows), ends + shape[1]
