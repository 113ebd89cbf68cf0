"""Options of learned prompts: which of them a type of metric allows, and what they tell of its prompts."""

from collections.abc import Mapping, Sequence
from typing import Any

from ..checks import FilePath, check_keys, check_mapping
from ..errors import PromptError
from ..weights.checkpoint import open_checkpoint
from .context_options import CONTEXT_OPTIONS, check_context
from .learned import PromptLearner
from .pairs import Question
from .published import PUBLISHED, ModelType
from .questions import only_pairs


def check_learned_options(
    model_type: ModelType,
    prompts: Sequence[Question],
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
    only_pairs(prompts, "CLIP-IQA+")
    if context is not None:
        check_mapping("context", context)
        check_keys(context, CONTEXT_OPTIONS, "`context`")
        check_context(**context)


def check_no_words(path: FilePath, metadata: Mapping[str, Any]) -> None:
    """Raise PromptError if a file has words of its own, beside which a user's would be ignored."""
    if "base_positive" in metadata:
        raise PromptError(f"{path} has words of its own: leave out `prompts`.", options=("prompts",))


def check_loaded_context(learner: PromptLearner | None, context: Mapping[str, Any]) -> None:
    """Raise PromptError if prompts that were loaded have another context than the one that was asked for.

    Args:
        learner: None if a head was loaded.
    """
    if learner is None or not learner.is_loaded:
        return
    is_shared = learner.ctx.dim() == 2
    n_ctx = context.get("n_ctx")
    if n_ctx not in (None, learner.n_ctx) or context.get("shared", is_shared) != is_shared:
        raise PromptError(
            f"`context` asks for {dict(context)}, but the loaded prompts have n_ctx={learner.n_ctx} and "
            f"shared={is_shared}: leave it out, or pass pretrained=False and no file to train new ones.",
            options=("context", "pretrained"),
        )


def learned_metadata(model_type: ModelType, path: FilePath | None) -> dict[str, Any]:
    """Return what is known of a metric's published prompts, and what a file of prompts or a head tells."""
    metadata = {} if model_type == "clipiqa" else PUBLISHED[model_type]._asdict()
    if path is not None:
        metadata |= open_checkpoint(path).metadata
    return metadata
