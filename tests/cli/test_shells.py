"""What a command line takes: completion, help without delay, unknown options, and options from a file."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from clipiqa_pyiqa.cli import COMMANDS, main

PHOTO = str(Path(__file__).parents[1] / "data/canyon-wren.jpg")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_gets_a_completion_script(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--print-completion", shell]) == 0
    said = capsys.readouterr().out
    assert all(command in said for command in COMMANDS if " " not in command) and "crop-border" in said


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_a_tab_completes_options_and_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--print-completion", "bash"])
    (tmp_path / "script").write_text(capsys.readouterr().out)
    for typed, then in {"sc": "score", "table --crop": "--crop-border", "score --format js": "jsonl"}.items():
        words = ["clipiqa", *typed.split()]
        tab = f"source ./script; COMP_WORDS=({' '.join(words)}); COMP_CWORD={len(words) - 1}; _shtab_clipiqa"
        command = ["bash", "-c", f'{tab}; echo "${{COMPREPLY[@]}}"']
        assert subprocess.run(command, cwd=tmp_path, capture_output=True, text=True).stdout.strip() == then


@pytest.mark.parametrize("command", [[], ["score"]])
def test_help_imports_no_slow_library(command: list[str]) -> None:
    code = f"import sys; from clipiqa_pyiqa.cli import main\ntry: main([*{command}, '--help'])\nexcept SystemExit: pass"
    slow = "{'torch', 'pandas', 'numpy', 'PIL', 'tqdm', 'open_clip', 'pyiqa', 'shtab'}"
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
