"""``clipiqa prompts``: list prompt pairs."""

from typing import Annotated

from cyclopts import Parameter

from ...prompts.pairs import NAMED_PAIRS, PRESETS, parse_prompts
from .options.groups import Settings
from .options.terminal import aligned


def run(
    *prompts: Annotated[str, Parameter(metavar="PROMPT")],
    template: str | None = None,
    settings: Settings = Settings(),
) -> int:
    """List the named prompt pairs, or the texts of given prompt pairs.

    examples:
      clipiqa prompts
      clipiqa prompts sharpness 'Crisp photo.|Hazy photo.' --template 'A photo of {}.'

    Args:
        prompts: a name, a preset or 'Positive text.|Negative text.'; default: all names
        template: wording of the pairs, such as 'A photo of {}.'
    """
    pairs = parse_prompts(list(prompts or NAMED_PAIRS), template)
    rows = [("name", "positive", "negative"), *((pair.name, *pair.texts) for pair in pairs)]
    if not prompts:
        rows += [(name, *pair.texts) for name in PRESETS for pair in PRESETS[name]]
    print(aligned(rows))
    return 0
