"""Completion for shells, and where an option that a command does not have belongs."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from clipiqa_pyiqa.cli import COMMANDS, main


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--print-completion", shell]) == 0
    said = capsys.readouterr().out
    assert all(command in said for command in COMMANDS if " " not in command)
    assert "crop-border" in said and "print-completion" in said


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_bash_completes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--print-completion", "bash"])
    (tmp_path / "completion").write_text(capsys.readouterr().out)
    script = """
        source completion
        COMP_WORDS=(clipiqa table --crop); COMP_CWORD=2
        _shtab_clipiqa clipiqa --crop table
        echo "${COMPREPLY[@]}"
    """
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert done.stdout.strip() == "--crop-border", done.stderr


def test_help_waits_for_nothing() -> None:
    code = "import sys; from clipiqa_pyiqa.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    code += "print([name for name in ('shtab', 'torch', 'pandas', 'numpy') if name in sys.modules], file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["compare", "-m", "clipiqa", "--backbone", "mini"], "as in -m clipiqa:backbone=mini"),
        (["table", "-m", "clipiqa", "-b", "mini"], "as in -m clipiqa:backbone=mini"),
        (["compare", "--clip-weights=RN50.pt"], "as in -m clipiqa:clip_weights=RN50.pt"),
        (["rank", "photos", "--wurst", "3"], "did you mean --worst?"),
        (["demo", "--xyz"], "unrecognized arguments: --xyz\n"),
    ],
)
def test_unknown_options(command: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(command)
    assert message in capsys.readouterr().err


def test_options_from_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photos = Path(__file__).parents[1] / "data"
    (tmp_path / "c.yml").write_text("backbone: mini\nprompts: [sharpness]\nmax_side: 64\nformat: csv\ndevice: cpu\n")
    assert main(["score", str(photos), "--config", str(tmp_path / "c.yml"), "--quiet"]) == 0
    header, first, *_ = capsys.readouterr().out.splitlines()
    assert header.startswith("path,sharpness,") and ",64,42," in first
    (tmp_path / "c.yml").write_text("range: [1]\n")
    assert main(["fit", "scores.csv", "--config", str(tmp_path / "c.yml"), "--out", "x.safetensors"]) == 2
    assert "must be a list of 2 values, but is [1]" in capsys.readouterr().err
