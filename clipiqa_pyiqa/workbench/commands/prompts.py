"""``clipiqa prompts``: list prompt pairs."""

from typing import Annotated

from cyclopts import Parameter

from ...prompts.pairs import NAMED_PAIRS, PRESETS, PromptPair, parse_prompts
from .options.console_tables import rows_as_text
from .options.groups import Settings


def run(
    *prompts: Annotated[str, Parameter(metavar="PROMPT")],
    template: str | None = None,
    settings: Settings = Settings(),
) -> int:
    """List the named prompt pairs, or the texts of given prompts.

    examples:
      clipiqa prompts
      clipiqa prompts sharpness 'Crisp photo.|Hazy photo.' --template 'A photo of {}.'

    Args:
        prompts: a name, a preset, 'Positive text.|Negative text.' or 'single:Text.'; default: all names
        template: wording of the pairs, such as 'A photo of {}.'
    """
    rows = [("name", "positive", "negative")]
    for question in parse_prompts(list(prompts or NAMED_PAIRS), template):
        negative = question.negative if isinstance(question, PromptPair) else ""
        rows.append((question.name, question.texts[0], negative))
    if not prompts:
        rows += [(name, *pair.texts) for name in PRESETS for pair in PRESETS[name]]
    print(rows_as_text(rows))
    return 0
