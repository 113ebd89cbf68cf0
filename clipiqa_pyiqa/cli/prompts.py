"""``clipiqa prompts``: list prompt pairs."""

from __future__ import annotations

from collections.abc import Sequence

from ..prompts.pairs import NAMED_PAIRS, PRESETS, count_tokens, parse_prompt_argument, parse_prompts
from .options.tables import aligned


def run(prompts: Sequence[str] = (), *, template: str | None = None) -> int:
    """List the named prompt pairs, or show how CLIP reads given prompt pairs.

    Args:
        prompts (PROMPT): a name, a preset or 'Positive text.|Negative text.'; default: all names
        template (TEXT): wording of the pairs, such as 'A photo of {}.'
    """
    rows: list[tuple[str, ...]]
    if prompts or template is not None:
        rows = [("name", "positive", "negative", "tokens")]
        for pair in parse_prompts(list(map(parse_prompt_argument, prompts)) or list(NAMED_PAIRS), template):
            tokens = f"{count_tokens(pair.positive)}+{count_tokens(pair.negative)}"
            rows.append((pair.name, pair.positive, pair.negative, tokens))
    else:
        listed = {**{name: [pair] for name, pair in NAMED_PAIRS.items()}, **PRESETS}
        rows = [("name", "positive", "negative")]
        rows += [(name, pair.positive, pair.negative) for name, pairs in listed.items() for pair in pairs]
    print("\n".join(aligned(rows)))
    return 0
