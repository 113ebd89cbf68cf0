"""docs/reproduce.md: its commands can be parsed, and every experiment of the paper is in its table."""

import re
import shlex
from pathlib import Path

import pytest

from clipiqa_pyiqa.cli import function_of
from clipiqa_pyiqa.cli.options.parser import Parser
from clipiqa_pyiqa.files.yaml import shipped

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/reproduce.md").read_text(encoding="utf-8")
COMMAND_LINES = sorted(set(re.findall(r"`(clipiqa (?:compare|radar|sweep|pairs|rank|agreement) [^`]*)`", PAGE)))


@pytest.mark.parametrize("line", COMMAND_LINES)
def test_its_commands_are_understood_and_their_files_exist(line):
    _, name, *words = shlex.split(line)
    parser = Parser()
    parser.declare(function_of(name))
    args = parser.parse_args(words)
    assert args.config_file and shipped().keys() >= {*args.config_file}
