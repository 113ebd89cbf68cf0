"""``clipiqa prompts``: list prompt pairs."""

from collections.abc import Sequence

from ...prompts.pairs import NAMED_PAIRS, PRESETS, parse_prompts
from .options.terminal import aligned


def run(prompts: Sequence[str] = (), *, template: str | None = None) -> int:
    """List the named prompt pairs, or the texts of given prompt pairs.

    Args:
        prompts (PROMPT): a name, a preset or 'Positive text.|Negative text.'; default: all names
        template (TEXT): wording of the pairs, such as 'A photo of {}.'
    """
    pairs = parse_prompts(list(prompts or NAMED_PAIRS), template)
    rows = [("name", "positive", "negative"), *((pair.name, *pair.texts) for pair in pairs)]
    if not prompts:
        rows += [(name, *pair.texts) for name in PRESETS for pair in PRESETS[name]]
    print(aligned(rows))
    return 0
