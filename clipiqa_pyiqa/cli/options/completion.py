"""Shell completion for bash, zsh and fish."""

from __future__ import annotations

from ...files.yaml import shipped
from ...prompts.pairs import NAMED_PAIRS, PRESETS
from .parser import FILES, FOLDERS, Parser, words_of


def completion(shell: str) -> str:
    """Return a completion script for ``'bash'``, ``'zsh'`` or ``'fish'``."""
    import shtab

    from .. import COMMANDS, function_of, parsers

    parser, commands = parsers(name for name in COMMANDS if " " not in name)
    for name, command in commands.items():
        command.declare(function_of(name))
        command.description = COMMANDS[name]
    below = _split_prompts(commands["prompts"], COMMANDS["prompts search"])
    known = values()
    for action in (action for command in [parser, *commands.values(), *below] for action in command._actions):
        if words_of(action) & FILES:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
        elif words_of(action) & FOLDERS:
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
        elif action.choices is None:
            action.choices = known.get(action.dest)
    return str(shtab.complete(parser, shell=shell))


def _split_prompts(prompts: Parser, description: str) -> list[Parser]:
    """Return parsers for the words after ``prompts``: ``search``, and names of pairs."""
    from .. import function_of

    prompts._actions[:] = [action for action in prompts._actions if action.option_strings]
    words = prompts.add_subparsers(dest="first", metavar="PROMPT")
    pairs = {**{name: (pair,) for name, pair in NAMED_PAIRS.items()}, **PRESETS}
    texts = {name: ", ".join(f"{pair.positive}|{pair.negative}" for pair in found) for name, found in pairs.items()}
    found = []
    for name, text in {"search": description, **texts}.items():
        found.append(words.add_parser(name, help=text))
        found[-1].declare(function_of("prompts search" if name == "search" else "prompts"))
        found[-1].description = description
    return found


def values() -> dict[str, list[str]]:
    """Return option -> its usual values, for options that take other values, too."""
    return {
        "backbone": ["mini", "RN50", "RN101", "RN50x4", "RN50x16", "RN50x64", "ViT-B/32", "ViT-B/16", "ViT-L/14"],
        "prompts": [*NAMED_PAIRS, *PRESETS],
        "device": ["cpu", "cuda", "mps"],
        "precision": ["fp32", "bf16", "fp16"],
        "pos_embedding": ["none", "interpolate", "fixed"],
        "pictures": ["png", "svg", "pdf"],
        "protocol": list(shipped(protocols=True)),
        "recipe": ["plain", "official", "pyiqa"],
        "method": ["auto", "affine", "ridge"],
        "fit_on": ["features", "stages"],
    }
