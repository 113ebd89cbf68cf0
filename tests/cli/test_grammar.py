"""The same option means the same in every command."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from clipiqa_pyiqa.cli import COMMANDS, command_module, main
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
    assert seen or command == "prompts"
    has_config = any("-c" in action.option_strings for action in parser._actions)
    assert has_config or command in ("demo", "prompts")  # which have nothing worth keeping


@pytest.mark.parametrize("command", COMMANDS)
def test_whole_numbers_have_bounds(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    parser = Parser(prog=command)
    command_module(command).configure(parser)
    for action in parser.options.values():
        if action.type is int:
            for value in ("-1", "99999999999"):
                option = action.option_strings[-1]
                assert main([*command.split(), f"{option}={value}"]) == 2
                said = rf"error: {option} must be between [01] and [\d,]+; got {int(value):,}\.\n"
                assert re.search(said, capsys.readouterr().err)
        else:  # which have bounds of their own
            assert action.type in (None, float, Path) or action.dest in ("memory", "cpus_per_actor", "gpus_per_actor")


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
    monkeypatch.setattr(command_module("prompts"), "parse_prompts", lambda *_: (_ for _ in ()).throw(error))
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
