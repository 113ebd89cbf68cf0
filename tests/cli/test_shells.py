"""What a command line takes: help without delay, unknown options, and options from a file."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from clipiqa_pyiqa.cli import main

PHOTO = str(Path(__file__).parents[1] / "data/canyon-wren.jpg")


@pytest.mark.parametrize("command", [[], ["score"]])
def test_help_imports_no_slow_library(command: list[str]) -> None:
    code = f"import sys; from clipiqa_pyiqa.cli import main\ntry: main([*{command}, '--help'])\nexcept SystemExit: pass"
    slow = "{'torch', 'pandas', 'numpy', 'PIL', 'tqdm', 'open_clip', 'pyiqa'}"
    ran = subprocess.run([sys.executable, "-c", f"{code}\nprint({slow} & {{*sys.modules}})"], capture_output=True)
    assert b"usage: clipiqa" in ran.stdout and ran.stdout.endswith(b"set()\n")


def test_an_unknown_option_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["rank", "photos", "--wurst", "3"])
    assert "clipiqa rank: error: unrecognized arguments: --wurst" in capsys.readouterr().err


def test_options_from_a_file_and_beside_it(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.yml"
    file.write_text("prompts: [quality, [Crisp photo., Hazy photo.]]\nbackbone: mini\nmax_side: 64\nquiet: true\n")
    command = ["score", PHOTO, "-c", str(file), "--format", "jsonl"]
    assert main(command) == 0
    row = json.loads(capfd.readouterr().out)
    assert {"quality", "Crisp photo.|Hazy photo."} <= row.keys() and row["scored_width"] == 64
    assert main([*command, "-p", "sharpness", "--max-side", "80"]) == 0
    row = json.loads(capfd.readouterr().out)
    assert "sharpness" in row and "quality" not in row and row["scored_width"] == 80


@pytest.mark.parametrize(
    ("command", "text", "message"),
    [
        ("score", "promts: quality", "unknown key 'promts' in .* did you mean 'prompts'"),
        ("score", "huge: 3", "must be true or false"),
        ("score", "[quality]", "must be a mapping"),
        ("fit", "range: [1]", r"must be a list of values; got \[1\]"),
    ],
)
def test_a_configuration_that_cannot_be_used_is_refused(
    command: str, text: str, message: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.yml").write_text(text)
    assert main([command, PHOTO, "-c", str(tmp_path / "mine.yml"), "--out", "none.safetensors"]) == 2
    said = capfd.readouterr()
    assert said.out == "" and said.err.count("\n") == 1 and re.search(message, said.err), said.err
