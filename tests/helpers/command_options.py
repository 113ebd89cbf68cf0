"""What the command line of each command takes, as cyclopts sees it."""

from typing import get_args

from cyclopts.argument import Argument

from clipiqa_pyiqa.workbench.commands.app import NAMES, command_app
from clipiqa_pyiqa.workbench.commands.command_line import CommandLine
from clipiqa_pyiqa.workbench.commands.layout import Layout


def arguments_of(command: str) -> list[Argument]:
    """Return the arguments and options of a command, without the groups that hold them."""
    app = command_app([], CommandLine(), Layout(is_whole=True))
    with app.app_stack([command]):
        arguments = app[command].assemble_argument_collection(parse_docstring=True)
    return [argument for argument in arguments if not argument.children]


def all_arguments() -> dict[str, list[Argument]]:
    return {command: arguments_of(command) for command in NAMES}


def is_option(argument: Argument) -> bool:
    return argument.names[0].startswith("--")


def kinds_of(argument: Argument) -> set[type]:
    """Return the types that a value may have: ``int`` and ``NoneType`` for ``int | None``."""
    return {argument.hint, *get_args(argument.hint)}
