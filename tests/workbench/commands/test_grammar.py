"""The same option means the same in every command."""

import re

import pytest

from clipiqa_pyiqa.workbench.commands import COMMANDS, function_of, prompts
from clipiqa_pyiqa.workbench.commands.options.parser import Parser

pytestmark = pytest.mark.quick

SHORT = {"out": "-o", "config_file": "-c", "config": "-c", "backbone": "-b", "prompts": "-p", "quiet": "-q"}


def test_every_option_has_help_its_short_name_and_bounds(clipiqa):
    """Every option has help; what commands share has the same short name; whole numbers have bounds."""
    for command in COMMANDS:
        parser = Parser(prog=command)
        parser.declare(function_of(command))
        for action in parser._actions:
            assert action.help
            if action.option_strings and action.dest in SHORT:
                assert SHORT[action.dest] in action.option_strings
        for action in parser.options.values():
            if action.type is not int:
                continue
            for value in ("-1", "99999999999"):
                ran = clipiqa(f"{command} {action.option_strings[-1]}={value}", 2)
                said = rf"error: {action.option_strings[-1]} must be between [\d,]+ and [\d,]+; got {int(value):,}\.\n"
                assert re.search(said, ran.err)


def test_a_lack_of_memory_is_an_error_of_one_sentence(clipiqa, monkeypatch):
    for error in [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried")]:
        monkeypatch.setattr(prompts, "parse_prompts", lambda *_, error=error: (_ for _ in ()).throw(error))
        clipiqa("prompts quality", 2, "clipiqa prompts: error: the memory does not suffice")
