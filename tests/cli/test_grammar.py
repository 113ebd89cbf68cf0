"""The same option means the same in every command."""

from __future__ import annotations

import pytest

from clipiqa_pyiqa.cli import COMMANDS, command_module
from clipiqa_pyiqa.cli.options.config import Parser

SHORT = {"--out": "-o", "--config": "-c", "--backbone": "-b", "--prompts": "-p", "--quiet": "-q"}


@pytest.mark.parametrize("command", COMMANDS)
def test_short_names(command: str) -> None:
    parser = Parser(prog=command)
    command_module(command).configure(parser)
    seen = 0
    for action in parser.options.values():
        for long, short in SHORT.items():
            assert (long in action.option_strings) == (short in action.option_strings), action.option_strings
            seen += long in action.option_strings
    assert seen or command in ("bench", "prompts")
