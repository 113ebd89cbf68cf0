"""Completion for shells, and where an option that a command does not have belongs."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from shells import completed

from clipiqa_pyiqa.cli import COMMANDS, main
from clipiqa_pyiqa.cli.options.completion import values as known_values
from clipiqa_pyiqa.experiments.experiment import PICTURES
from clipiqa_pyiqa.learning.fitting import FIT_ON, NEEDED
from clipiqa_pyiqa.learning.recipe import RECIPES
from clipiqa_pyiqa.metric import POS_EMBEDDINGS, PRECISIONS
from clipiqa_pyiqa.weights.architecture import BACKBONES


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--print-completion", shell]) == 0
    said = capsys.readouterr().out
    assert all(command in said for command in COMMANDS if " " not in command)
    assert "crop-border" in said and "print-completion" in said


TABS = {
    "clipiqa sc": "score",
    "clipiqa table --crop": "--crop-border",
    "clipiqa score --format js": "jsonl",
    "clipiqa score photo.png -b mi": "mini",
    "clipiqa score photo.png --prompts sharp": "sharpness",
    "clipiqa score --out ph": "photo.png",
    "clipiqa rank --copy-to p": "place/",  # no file
    "clipiqa prompts sea": "search",
    "clipiqa prompts search --cand": "--candidates",
    "clipiqa prompts sharp": "sharpness",
}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_tab(shell: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if sys.platform == "win32" or shutil.which(shell) is None:
        pytest.skip(f"there is no {shell}")
    main(["--print-completion", shell])
    (tmp_path / "photo.png").touch()
    (tmp_path / "place").mkdir()
    expected = [f"{typed.rpartition(' ')[0]} {then}" for typed, then in TABS.items()]
    assert completed(shell, capsys.readouterr().out, list(TABS), tmp_path) == expected


def test_values_of_the_script_are_known() -> None:
    """They are written out there, since what knows them imports torch."""
    values = {name: set(names) for name, names in known_values().items()}
    assert values["backbone"] == set(BACKBONES) and {"osediff", "ntire"} < values["protocol"]
    assert values["pictures"] == set(PICTURES) and values["recipe"] == set(RECIPES)
    assert values["precision"] == set(PRECISIONS) and values["pos_embedding"] == set(POS_EMBEDDINGS.values())
    assert values["method"] == set(NEEDED) and values["fit_on"] == set(FIT_ON)


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
        (["compare", "--clip-weights=RN50.pt"], "as in -m clipiqa:backbone=mini"),
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
    assert "must be a list of 2 values; got [1]" in capsys.readouterr().err
