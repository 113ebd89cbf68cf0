"""Shell completion for bash, zsh and fish."""

from __future__ import annotations

from ...files.yaml import shipped
from ...prompts.pairs import NAMED_PAIRS, PRESETS
from .parser import FILES, FOLDERS, Parser, words_of


def completion(shell: str, parser: Parser, commands: dict[str, Parser]) -> str:
    """Return a shell's completion script; the parsers must already have all options."""
    import shtab

    prompts, known = commands["prompts"], values()
    for action in (action for command in [parser, *commands.values()] for action in command._actions):
        if words_of(action) & FILES:
            action.complete = shtab.FILE  # type: ignore[attr-defined]
        elif words_of(action) & FOLDERS:
            action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
        elif action.choices is None:
            action.choices = known.get(action.dest)
    (names,) = (action for action in prompts._actions if action.dest == "prompts")
    names.choices = ["search", *known["prompts"]]
    prompts._actions[:] = [action for action in prompts._actions if action.option_strings or action is names]
    return str(shtab.complete(parser, shell=shell))


def values() -> dict[str, list[str]]:
    """Return option -> its usual values."""
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
