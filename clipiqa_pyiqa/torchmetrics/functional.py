"""torchmetrics' function for CLIP-IQA, with our scores: arguments, results and errors are torchmetrics'."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..metric import CLIPIQA
from ..prompts.pairs import NAMED_PAIRS, PromptPair, parse_prompts

TorchmetricsPrompts = tuple[str | tuple[str, str], ...]

_VIT = {"pos_embedding": "fixed"}  # torchmetrics resizes and crops the image for these
MODELS: dict[str, dict[str, Any]] = {
    "clip_iqa": {"backbone": "RN50"},
    "openai/clip-vit-base-patch16": {"backbone": "ViT-B/16", **_VIT},
    "openai/clip-vit-base-patch32": {"backbone": "ViT-B/32", **_VIT},
    "openai/clip-vit-large-patch14": {"backbone": "ViT-L/14", **_VIT},
}
"""torchmetrics' names of models as options of :class:`~clipiqa_pyiqa.CLIPIQA`."""

_NAMES = {"colorfullness": "colorfulness", "complexity": "complex"}  # torchmetrics' names, where ours differ


def clip_image_quality_assessment(
    images: Tensor,
    model_name_or_path: str = "clip_iqa",
    data_range: float = 1.0,
    prompts: TorchmetricsPrompts = ("quality",),
    **options: Any,
) -> Tensor | dict[str, Tensor]:
    """Score images as ``torchmetrics.functional.multimodal.clip_image_quality_assessment`` does.

    Unlike torchmetrics' own, the scores have a gradient with respect to ``images`` where one is asked for.

    Args:
        images: ``(N, 3, H, W)`` RGB.
        model_name_or_path: a key of ``MODELS``.
        data_range: what stands for white, such as 255.
        prompts: a tuple of names and of pairs of texts, positive first.
        **options: those of :class:`~clipiqa_pyiqa.CLIPIQA`, such as ``backbone='mini'``, ``clip_weights``,
            ``pos_embedding`` and ``precision``; they win over what the model's name says.

    Returns:
        Scores ``(N,)`` for one prompt (a scalar for one image), or a dict of them by prompt, where pairs of texts are
        called ``user_defined_0``, ``user_defined_1`` and so on.

    Raises:
        ValueError: an argument is not what torchmetrics allows; or what :class:`~clipiqa_pyiqa.CLIPIQA` raises.
    """
    check_data_range(data_range)
    names, pairs = parse(prompts)
    metric = build(model_name_or_path, options)
    return by_prompt(metric(images / float(data_range), list(pairs), None), names)


def build(model_name_or_path: str, options: dict[str, Any]) -> CLIPIQA:
    """Our metric for torchmetrics' name of a model, frozen CLIP shared between all that use it."""
    if model_name_or_path not in MODELS:
        raise ValueError(
            f"model_name_or_path={model_name_or_path!r} is not available: use one of {', '.join(map(repr, MODELS))}, "
            "or an option of clipiqa_pyiqa.CLIPIQA such as backbone='RN50x4' beside the default."
        )
    return CLIPIQA(**{**MODELS[model_name_or_path], **options}).eval()


def parse(prompts: TorchmetricsPrompts) -> tuple[tuple[str, ...], tuple[PromptPair, ...]]:
    """torchmetrics' prompts: their names in results, and our pairs."""
    if not isinstance(prompts, tuple) or not all(isinstance(prompt, str | tuple) for prompt in prompts):
        raise ValueError("Argument `prompts` must be a tuple containing strings or tuples of strings")
    names: list[str] = []
    pairs: list[PromptPair] = []
    for prompt in prompts:
        if isinstance(prompt, str):
            name = _NAMES.get(prompt, prompt)
            if name not in NAMED_PAIRS:
                known = ", ".join([*NAMED_PAIRS, *_NAMES])
                raise ValueError(f"All elements of `prompts` must be one of {known} if not tuples, got {prompt}.")
            names.append(prompt)
            pairs.append(NAMED_PAIRS[name])
            continue
        if len(prompt) != 2:
            raise ValueError("If a tuple is provided in argument `prompts`, it must be of length 2")
        names.append(f"user_defined_{sum(name.startswith('user_defined_') for name in names)}")
        pairs += parse_prompts([prompt])
    return tuple(names), tuple(pairs)


def by_prompt(scores: Tensor, names: tuple[str, ...]) -> Tensor | dict[str, Tensor]:
    """Scores ``(N, P)`` as torchmetrics returns them."""
    return scores.squeeze() if len(names) == 1 else dict(zip(names, scores.unbind(1), strict=True))


def check_data_range(data_range: Any) -> None:
    """Raise unless it is a positive number."""
    if isinstance(data_range, bool) or not isinstance(data_range, int | float) or not data_range > 0:
        raise ValueError("Argument `data_range` should be a positive number.")
