"""The same option means the same in every command."""

import re

import pytest
from command_options import all_arguments, is_option, kinds_of

from clipiqa_pyiqa.workbench.commands import prompts

pytestmark = pytest.mark.quick

SHORT = {"out": "-o", "config": "-c", "backbone": "-b", "prompts": "-p", "quiet": "-q"}


def least_of(arguments):
    """The least that a command takes."""
    required = [argument for argument in arguments if argument.required]
    return " ".join(f"{argument.name} new" if is_option(argument) else "x" for argument in required)


def test_every_option_has_help_its_short_name_and_bounds(clipiqa):
    """Every option has help; what commands share has the same short name; whole numbers have bounds."""
    for command, arguments in all_arguments().items():
        for argument in arguments:
            name = argument.field_info.name
            assert argument.parameter.help, (command, name)
            if is_option(argument) and name in SHORT:
                assert SHORT[name] in argument.names
            if int not in kinds_of(argument):
                continue
            for value in ("-1", "99999999999"):
                ran = clipiqa(f"{command} {least_of(arguments)} {argument.name}={value}", 2)
                said = rf"error: {argument.name} must be between [\d,]+ and [\d,]+; got {int(value):,}\.\n"
                assert re.search(said, ran.err)


def test_a_lack_of_memory_is_an_error_of_one_sentence(clipiqa, monkeypatch):
    for error in [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried")]:
        monkeypatch.setattr(prompts, "parse_prompts", lambda *_, error=error: (_ for _ in ()).throw(error))
        clipiqa("prompts quality", 2, "clipiqa prompts: error: the memory does not suffice")
