"""No command writes over what it reads, also with --overwrite."""

import shutil

import pytest
from photos import PHOTOS

from clipiqa_pyiqa.cli import main


@pytest.mark.parametrize(
    "command",
    [
        "fit in.csv --out in.csv",
        "fit in.csv --out head.safetensors --splits 2 --splits-out in.csv",
        "fit scores.csv --clip-weights in.csv --out in.csv",
        "export in.csv --clip-weights in.csv",
        "export in.csv --learned-prompts in.csv",
        "score photo.jpg --out in.csv --metrics mine=in.csv:lower_better=true",
        "score photo.jpg --out photo.jpg --format csv --metrics entropy",
    ],
)
def test_an_input_is_never_an_output(command, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.copy(PHOTOS[0], "photo.jpg")
    for name in ("in.csv", "scores.csv"):
        (tmp_path / name).write_text("path,score\nphoto.jpg,1\n")
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    assert main([*command.split(), "--overwrite"]) == 2
    assert "input" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
