"""The options of a context to learn: ``n_ctx``, ``shared`` and ``init``."""

from ..checks import check_one_of, check_truth, check_whole_or_none
from ..errors import PromptError

CONTEXT_OPTIONS = ("n_ctx", "shared", "init")
LONGEST_CONTEXT = 75  # vectors: CLIP's texts have 77 tokens, of which two begin and end a text


def check_context(n_ctx: int | None = None, shared: bool = False, init: str = "x") -> None:
    """Raise for arguments that :class:`PromptLearner` cannot use."""
    check_whole_or_none("n_ctx", n_ctx, 1, LONGEST_CONTEXT)
    check_truth("shared", shared)
    check_one_of("init", init, ("x", "random", "words"))
    if init == "words":
        _check_words_alone(n_ctx, shared)


def _check_words_alone(n_ctx: int | None, shared: bool) -> None:
    """Raise for options that do not go with a context that begins as the pair's own texts."""
    if n_ctx is not None:
        raise PromptError(
            f"init 'words' has a vector for each token of the texts: leave out n_ctx={n_ctx}.", options=("n_ctx",)
        )
    if shared:
        raise PromptError("init 'words' has a context for each text: leave out `shared`.", options=("shared",))
