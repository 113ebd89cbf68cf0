"""The site's page of the command line, made from the code that reads it: what ``--help-all`` says of each command."""

from __future__ import annotations

import inspect
import re

from clipiqa_pyiqa.workbench.commands.app import COMMANDS, WHOLE_HELP, command_app, examples_of
from clipiqa_pyiqa.workbench.commands.command_line import CommandLine
from clipiqa_pyiqa.workbench.commands.layout import WORDS, Layout

INTRODUCTION = (
    "All commands, as `clipiqa COMMAND --help-all` describes them. `clipiqa COMMAND --help` shows less, on one screen."
)
NO_DEFAULT = re.compile(r" \*\[default: (?:False|\(\)|None)\]\*")  # of an option that is not given
KIND = re.compile(r"(?<=^\* `)(.+ )(INT|FLOAT|STR)(?=`:)", re.M)
HEADING = "###"


def page() -> str:
    """Return the page as Markdown: a part for each group of commands, in it a part for each command."""
    parts = [f"# Command line\n\n{INTRODUCTION}\n"]
    for title, commands in COMMANDS.items():
        parts.append(f"## {title}\n")
        parts += [command_part(command) for command in commands]
    return "\n".join(parts)


def command_part(command: str) -> str:
    """Return what a command does, its arguments, options and examples."""
    app = command_app((command, WHOLE_HELP), CommandLine(), Layout(is_whole=True))
    with app.app_stack([command]):  # within it, options have the forms that the application gives them
        described = app[command].generate_docs("markdown", heading_level=len(HEADING), recursive=False)
    _, _, body = described.partition("```console\n")  # what precedes it is the heading
    body = KIND.sub(lambda match: match[1] + WORDS[match[2]], NO_DEFAULT.sub("", body))
    text = f"{HEADING} clipiqa {command}\n\n```console\nclipiqa {body.rstrip()}\n"
    examples = inspect.cleandoc(examples_of(command))
    return f"{text}\n**Examples**:\n\n```sh\n{examples}\n```\n" if examples else text
