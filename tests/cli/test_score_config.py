"""``clipiqa score --config FILE``: options from a file, changed by those beside it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from clipiqa_pyiqa.cli import main

PHOTO = str(Path(__file__).parents[1] / "data" / "canyon-wren.jpg")
CONFIG = "prompts: [quality, [Crisp photo., Hazy photo.]]\nbackbone: mini\nmax_side: 64\nquiet: true\nformat: jsonl\n"


def score(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(["score", PHOTO, *arguments])
    said = capfd.readouterr()
    return code, said.out, said.err


def test_options_from_a_file_and_beside_it(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.yml").write_text(CONFIG)
    code, out, err = score(capfd, "-c", str(tmp_path / "mine.yml"))
    row = json.loads(out)
    assert code == 0 and not err
    assert {"quality", "Crisp photo.|Hazy photo."} <= row.keys() and max(
        row["scored_width"], row["scored_height"]
    ) == 64
    typed = score(capfd, "-b", "mini", "--max-side", "64", "-q", "--format", "jsonl",
                  "-p", "quality", "Crisp photo.|Hazy photo.")  # fmt: skip
    assert json.loads(typed[1]) == row
    row = json.loads(score(capfd, "-c", str(tmp_path / "mine.yml"), "-p", "sharpness", "--max-side", "80")[1])
    assert "sharpness" in row and "quality" not in row and max(row["scored_width"], row["scored_height"]) == 80


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("promts: quality", "unknown key 'promts' in .* did you mean 'prompts'"),
        ("resume: true", "unknown key 'resume'"),
        ("all_attributes: 3", "must be true or false"),
        ("[quality]", "must be a mapping"),
    ],
)
def test_files_that_cannot_be_followed(
    text: str, message: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.yml").write_text(text)
    code, out, err = score(capfd, "-c", str(tmp_path / "mine.yml"))
    assert (code, out) == (2, "") and err.count("\n") == 1 and re.search(message, err), err
