"""No message of a command names an option that the command does not have, or Python's arguments."""

from __future__ import annotations

import argparse
import re
from functools import cache

import pytest
from messages import reached, said

from clipiqa_pyiqa.cli import COMMANDS, command_module, main
from clipiqa_pyiqa.cli.options.config import Parser
from clipiqa_pyiqa.cli.options.wording import in_options

# Messages that a command imports and never shows: (part of the module's name, options, who shows them).
ELSEWHERE = [
    ("sources.", "--embeddings --image-column --backbone", "score"),  # others look for shards to refuse them
    ("scoring.shards", "--part --merge", "score"),
    ("scoring.result_files", "--resume --overwrite --out --format", "score"),  # what writes results; others read them
    ("scoring.result_reading", "--resume --format", "score"),
    ("files.writing", "--overwrite", "all that write"),
    ("datasets.data_sets", "--data-root", "compare"),  # table has folders of its own
    ("comparison.compare", "--out --resume --overwrite --backbone --clip-weights", "compare, table"),  # in their words
    ("comparison.table.", "--methods --protocol --resume --overwrite", "table"),  # gate is its neighbour
    ("comparison.gating", "--by --key --skip-missing", "gate"),
    ("datasets.score_table", "--columns --skip-missing", "train, fit, prompts search"),  # others say their own, or all
    ("scoring.score_files", "--columns", "rank"),  # gate says --key
    ("weights.foreign", "--trust-weights", "compare, table"),
    ("weights.selection", "--backbone --clip-weights", "compare, table"),  # which say it their way
    ("images.memory", "--memory", "all that decode"),
    ("images.reader", "--huge", "all that decode"),
]
DECODE_NOTHING_OF_THE_USERS = {"demo", "gate", "export", "verify", "weights", "prompts"}
METRIC_IN_A_NAME = {"compare", "table"}  # whose options of a metric are key=value


@cache
def options(command: str) -> set[str]:
    parser = Parser(prog=command)
    command_module(command).configure(parser)
    return {name for action in parser._actions for name in action.option_strings}


@pytest.mark.parametrize("command", COMMANDS)
def test_options_are_the_commands_own(command: str) -> None:
    wrong = []
    for module in sorted(reached(command_module(command).__name__)):
        if ".cli" in module and not module.endswith(command.replace(" ", "_")):
            continue
        for line, text in said(module):
            text = re.sub(r"`(pip|ray) [^`]*`|\(ray start [^)]*\)|tensorboard --logdir", "", in_options(text, command))
            for other in re.findall(r"`clipiqa ([^`]*)`", text):  # names its command: that one must have it
                words = other.split()
                named = " ".join(words[:2]) if " ".join(words[:2]) in COMMANDS else words[0] if words else "X"
                assert named == "X" or {w for w in words if w.startswith("--")} <= options(named), (module, line, text)
            text = re.sub(r"`clipiqa [^`]*`[^`.;]*", "", text)
            for option in set(re.findall(r"(?<![\w-])--[a-z][a-z-]*[a-z]", text)) - options(command):
                known = [who for part, shown, who in ELSEWHERE if part in module and option in shown.split()]
                if not known or ("decode" in known[0] and command not in DECODE_NOTHING_OF_THE_USERS):
                    wrong.append(f"{module}:{line}: {option}: {text[:200]}")
    assert wrong == []


@pytest.mark.parametrize("command", sorted(set(COMMANDS) - METRIC_IN_A_NAME))
def test_arguments_are_options(command: str) -> None:
    parser = Parser(prog=command)
    command_module(command).configure(parser)
    names = {name for name, action in parser.options.items() if action.help != argparse.SUPPRESS}
    wrong = []
    for module in sorted(reached(command_module(command).__name__)):
        for line, text in said(module):
            for name in re.findall(r"(?<![\w'\"/:,.=-])([a-z_]{3,})=(?!=)", in_options(text, command)):
                if name in names and "create_metric" not in text:
                    wrong.append(f"{module}:{line}: {name}=: {text[:200]}")
    assert wrong == []


@pytest.mark.parametrize(
    ("command", "python", "typed"),
    [
        ("score", "quick_gelu=False contradicts it", "--no-quick-gelu contradicts it"),
        ("score", "pass clip_weights=PATH (--clip-weights PATH)", "pass --clip-weights PATH"),
        ("compare", "use backbone='mini' (-m clipiqa:backbone=mini)", "use -m clipiqa:backbone=mini"),
        ("pairs", "pass --skip-unpaired (skip_unpaired=True) to", "pass --skip-unpaired to"),
        ("gate", "min_delta must be a number", "--min-delta must be a number"),
        ("score", "'/data/out=3/x.png' is missing", "'/data/out=3/x.png' is missing"),
        ("map", "stride=5 goes with window=", "--stride 5 goes with --window"),
        ("verify", "pass pretrained_model_path=PATH", "pass pretrained_model_path=PATH"),
    ],
)
def test_wording(command: str, python: str, typed: str) -> None:
    assert in_options(python, command) == typed


def test_a_command_says_it_so(tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a", "b"):
        rows = "".join(f"{name}/{n}.png,0.5\n" for n in range(9 if name == "a" else 8))
        (tmp_path / f"{name}.csv").write_text("path,quality\n" + rows)
    assert main(["gate", str(tmp_path / "a.csv"), str(tmp_path / "b.csv")]) == 2
    said = capsys.readouterr().err
    assert "--skip-missing" in said and "skip_missing" not in said
