"""``clipiqa prompts``: list the named prompt pairs, or show how CLIP would read given ones."""

from __future__ import annotations

import argparse

from ..prompts.pairs import NAMED_PAIRS, PRESETS, SOURCES, count_tokens, parse_prompt_argument, parse_prompts
from .options.tables import aligned


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of ``clipiqa prompts``."""
    parser.add_argument(
        "prompts",
        nargs="*",
        metavar="PROMPT",
        help="a name, a preset or 'Positive text.|Negative text.': check these instead of listing the names",
    )
    parser.add_argument("--template", help="re-word the pairs, for example 'A photo of {}.'")


def run(args: argparse.Namespace) -> int:
    """Print one line per pair."""
    rows: list[tuple[str, ...]]
    if args.prompts or args.template is not None:
        rows = [("name", "positive", "negative", "tokens")]
        for pair in parse_prompts(list(map(parse_prompt_argument, args.prompts)) or list(NAMED_PAIRS), args.template):
            tokens = f"{count_tokens(pair.positive)}+{count_tokens(pair.negative)}"
            rows.append((pair.name, pair.positive, pair.negative, tokens))
    else:
        rows = [("name", "positive", "negative", "from")]
        rows += [(name, pair.positive, pair.negative, SOURCES[name]) for name, pair in NAMED_PAIRS.items()]
        rows += [(name, pair.positive, pair.negative, "preset") for name in PRESETS for pair in PRESETS[name]]
    print("\n".join(aligned(rows)))
    return 0
