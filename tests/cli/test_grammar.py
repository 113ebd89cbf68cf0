"""The same option means the same in every command, and nonsense is told in a sentence."""

from __future__ import annotations

import dataclasses
import re
import typing
from pathlib import Path

import pytest

from clipiqa_pyiqa.cli import COMMANDS, function_of, main, prompts
from clipiqa_pyiqa.cli.options.parser import Parser

SHORT = {"out": "-o", "config_file": "-c", "config": "-c", "backbone": "-b", "prompts": "-p", "quiet": "-q"}


def declared(command: str) -> Parser:
    parser = Parser(prog=command)
    parser.declare(function_of(command))
    return parser


@pytest.mark.parametrize("command", COMMANDS)
def test_options(command: str) -> None:
    """Every option has its short name and help; those that commands share take the same."""
    for action in declared(command)._actions:
        assert action.help
        if action.option_strings and action.dest in SHORT:
            assert SHORT[action.dest] in action.option_strings


@pytest.mark.parametrize("command", COMMANDS)
def test_whole_numbers_have_bounds(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    for action in declared(command).options.values():
        if action.type is int:
            for value in ("-1", "99999999999"):
                assert main([*command.split(), f"{action.option_strings[-1]}={value}"]) == 2
                said = rf"error: {action.dest} must be between [01] and [\d,]+; got {int(value):,}\.\n"
                assert re.search(said, capsys.readouterr().err)


@pytest.mark.parametrize("command", COMMANDS)
def test_what_a_function_takes_can_be_said(command: str) -> None:
    names = set()
    for name, hint in typing.get_type_hints(function_of(command)).items():
        names |= {field.name for field in dataclasses.fields(hint)} if dataclasses.is_dataclass(hint) else {name}
    assert names - {"return"} <= {action.dest for action in declared(command)._actions}


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (MemoryError(), "the memory does not suffice"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "the memory does not suffice"),
        (OverflowError("Python int too large to convert to C int"), "a number is too large"),
    ],
)
def test_no_memory_and_too_large_a_number(
    error: Exception, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(prompts, "parse_prompts", lambda *_: (_ for _ in ()).throw(error))
    assert main(["prompts", "quality"]) == 2
    assert f"clipiqa prompts: error: {said}" in capsys.readouterr().err


@pytest.mark.parametrize(
    "command",
    [
        ["sweep", "PHOTO", "-b", "mini", "--steps", "9" * 24],
        ["score", "PHOTO", "-b", "mini", "--out", f"{'x' * 300}.csv"],
        ["map", "PHOTO", "-b", "mini", "--out", "x" * 300],
        ["score", "x" * 300, "-b", "mini", "--max-side", "9" * 24],
        ["score", "--prompts=--", "PHOTO"],
    ],
)
def test_absurd_values_are_told_in_a_sentence(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    photo = str(Path(__file__).parents[1] / "data/canyon-wren.jpg")
    assert main([photo if word == "PHOTO" else word for word in command]) == 2
    assert f"clipiqa {command[0]}: error: " in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
