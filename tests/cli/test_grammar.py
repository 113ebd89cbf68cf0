"""The same option means the same in every command, and nonsense is told in a sentence."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from clipiqa_pyiqa.cli import COMMANDS, function_of, main, prompts
from clipiqa_pyiqa.cli.options.parser import Parser

pytestmark = pytest.mark.quick

SHORT = {"out": "-o", "config_file": "-c", "config": "-c", "backbone": "-b", "prompts": "-p", "quiet": "-q"}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_has_help_its_short_name_and_bounds(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every option has help; what commands share has the same short name; whole numbers have bounds."""
    parser = Parser(prog=command)
    parser.declare(function_of(command))
    for action in parser._actions:
        assert action.help
        if action.option_strings and action.dest in SHORT:
            assert SHORT[action.dest] in action.option_strings
    for action in parser.options.values():
        for value in ("-1", "99999999999") if action.type is int else ():
            assert main([*command.split(), f"{action.option_strings[-1]}={value}"]) == 2
            said = rf"error: {action.option_strings[-1]} must be between [01] and [\d,]+; got {int(value):,}\.\n"
            assert re.search(said, capsys.readouterr().err)


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried")]
)
def test_a_lack_of_memory_is_an_error_of_one_sentence(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(prompts, "parse_prompts", lambda *_: (_ for _ in ()).throw(error))
    assert main(["prompts", "quality"]) == 2
    assert "clipiqa prompts: error: the memory does not suffice" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command",
    [
        ["sweep", "PHOTO", "-b", "mini", "--steps", "9" * 24],
        ["score", "PHOTO", "-b", "mini", "--out", f"{'x' * 300}.csv"],
        ["score", "x" * 300, "-b", "mini", "--max-side", "9" * 24],
        ["demo", "--out", "no-suffix"],
    ],
)
def test_absurd_values_are_refused_in_one_sentence(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    photo = str(Path(__file__).parents[1] / "data/canyon-wren.jpg")
    assert main([photo if word == "PHOTO" else word for word in command]) == 2
    assert f"clipiqa {command[0]}: error: " in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
