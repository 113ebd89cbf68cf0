"""What makes bash, zsh and fish complete the words of a command line."""

from __future__ import annotations

import re
from typing import Any

from ...files.yaml import shipped
from ...prompts.pairs import NAMED_PAIRS, PRESETS
from .parser import FILES, FOLDERS, Parser


def completion(shell: str) -> str:
    """Return a script for a shell, by shtab: ``'bash'``, ``'zsh'`` or ``'fish'``."""
    import shtab

    from .. import COMMANDS, function_of, parsers

    parser, commands = parsers(name for name in COMMANDS if " " not in name)
    for name, command in commands.items():
        command.declare(function_of(name))
        command.description = COMMANDS[name]
    below = _make_searchable(commands["prompts"], COMMANDS["prompts search"])
    for action in (action for command in [parser, *commands.values(), *below] for action in command._actions):
        words = set(re.split(r"\W", str(action.metavar)))
        if words & {*FILES, *FOLDERS}:
            action.complete = shtab.FILE if words & {*FILES} else shtab.DIRECTORY
        elif action.choices is None:
            action.choices = values().get(action.dest)
    return str(shtab.complete(parser, shell=shell))


def _make_searchable(prompts: Parser, told: str) -> list[Any]:
    """Shells complete a word at a time: after ``prompts`` come the names of pairs, or ``search``."""
    from .. import function_of

    prompts._actions[:] = [action for action in prompts._actions if action.option_strings]
    words = prompts.add_subparsers(dest="first", metavar="PROMPT")
    found = [words.add_parser("search", help=told)]
    found[0].declare(function_of("prompts search"))
    named = {name: (pair,) for name, pair in NAMED_PAIRS.items()}
    for name, pairs in (named | PRESETS).items():
        found.append(words.add_parser(name, help=", ".join(f"{pair.positive}|{pair.negative}" for pair in pairs)))
        found[-1].declare(function_of("prompts"))
    for parser in found:
        parser.description = told
    return found


def values() -> dict[str, list[str]]:
    """Return values of options that have names, where others are taken too, so that no parser knows them."""
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
