"""Whether learned prompts or a head were made for a metric's CLIP, as their metadata tell."""

from collections.abc import Mapping

from ..checks import FilePath
from ..errors import PromptError
from ..text import log
from ..weights.finding import Weights, is_same_release


def check_backbone(name: FilePath, metadata: Mapping[str, str], backbone: str) -> None:
    """Raise PromptError if prompts or a head were made for another backbone."""
    made_for = metadata.get("backbone", backbone)
    if made_for != backbone:
        raise PromptError(
            f"{name} was learned on {made_for}, but the metric's backbone is {backbone}: use "
            f"backbone={made_for!r}, or prompts or a head learned on {backbone}.",
            options=("backbone",),
        )


def warn_of_positions(name: FilePath, metadata: Mapping[str, str], pos_embedding: str) -> None:
    """Log a warning if prompts or a head were made with another positional embedding."""
    positions = metadata.get("pos_embedding", pos_embedding)
    if positions != pos_embedding:
        log.warning(
            f"{name} was learned with the positional embedding {positions!r}, but the metric has {pos_embedding!r}: "
            "its scores will be wrong."
        )


def check_weights(path: FilePath, metadata: Mapping[str, str], weights: Weights) -> None:
    """Raise PromptError if prompts or a head were learned on other weights of the backbone."""
    if not is_same_release(weights, metadata.get("weights_sha256", "")):
        raise PromptError(
            f"{path} was learned on other weights of {weights.backbone} ({metadata.get('weights')}) than the metric's "
            f"({weights.short}): pass the weights that it was learned on as clip_weights, or learn it again.",
            options=("clip_weights",),
        )
