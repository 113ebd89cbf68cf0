"""What makes bash, zsh and fish complete the words of a command line."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping

from .config import Parser

_FILES = ("FILE", "PATH", "PHOTO", "IMAGE", "CSV", "BASE", "NEW", "LIST", "DATA", "VOTES")  # what help calls them
_FOLDERS = ("DIR", "FOLDER", "LOW", "HIGH")


def completion(
    shell: str, parser: Parser, commands: Mapping[str, Parser], told: Mapping[str, str],
    configure: Callable[[str, argparse.ArgumentParser], None],
) -> str:  # fmt: skip
    """A script for a shell, by shtab.

    Args:
        shell: ``'bash'``, ``'zsh'`` or ``'fish'``.
        parser: Of the command line.
        commands: Its commands of one word, not configured yet.
        told: A line about every command, those of two words among them.
        configure: Declares the options of a command.
    """
    import shtab

    for name, command in commands.items():
        configure(name, command)
        command.description = told[name]
    _make_searchable(commands["prompts"], told["prompts search"], configure)
    every = [parser, *commands.values(), *_below(commands["prompts"])]
    values = _values()
    for action in (action for command in every for action in command._actions):
        metavar = str(action.metavar)
        kind = shtab.DIRECTORY if metavar in _FOLDERS else None
        if kind or any(word in metavar for word in _FILES):
            action.complete = kind or shtab.FILE  # type: ignore[attr-defined]
        elif action.choices is None:
            known = [values[flag] for flag in action.option_strings if flag in values]
            action.choices = known[0] if known else None
    return str(shtab.complete(parser, shell=shell))


def _make_searchable(prompts: Parser, told: str, configure: Callable[[str, argparse.ArgumentParser], None]) -> None:
    """Shells complete a word at a time: after ``prompts`` come the names of pairs, or ``search``."""
    from ...prompts.pairs import NAMED_PAIRS, PRESETS

    prompts._actions[:] = [action for action in prompts._actions if action.option_strings]
    words = prompts.add_subparsers(dest="first", metavar="PROMPT")
    configure("prompts search", words.add_parser("search", help=told, description=told))
    named = {name: (pair,) for name, pair in NAMED_PAIRS.items()}
    for name, pairs in (named | PRESETS).items():
        said = ", ".join(f"{pair.positive}|{pair.negative}" for pair in pairs)
        further = words.add_parser(name, help=said, description=said)
        configure("prompts", further)
        next(action for action in further._actions if not action.option_strings).choices = [*NAMED_PAIRS, *PRESETS]


def _below(parser: Parser) -> list[Parser]:
    (found,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    return list(found.choices.values())


def _values() -> dict[str, list[str]]:
    """Values of options that have names, where others are taken too, so that no parser knows them."""
    from ...files.yaml import shipped
    from ...prompts.pairs import NAMED_PAIRS, PRESETS

    return {
        "--backbone": ["mini", "RN50", "RN101", "RN50x4", "RN50x16", "RN50x64", "ViT-B/32", "ViT-B/16", "ViT-L/14"],
        "--prompts": [*NAMED_PAIRS, *PRESETS],
        "--device": ["cpu", "cuda", "mps"],
        "--precision": ["fp32", "bf16", "fp16"],
        "--pos-embedding": ["none", "interpolate", "fixed"],
        "--pictures": ["png", "svg", "pdf"],
        "--protocol": sorted(name for name, path in shipped().items() if path.parent.name == "protocols"),
        "--recipe": ["plain", "official", "pyiqa"],
        "--method": ["auto", "affine", "ridge", "cache"],
        "--fit-on": ["features", "stages"],
    }
