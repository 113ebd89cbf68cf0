"""Code takes no decision from a sentence: with noise in place of every message, commands do the same."""

import csv
import json
from pathlib import Path

import pytest
from PIL import Image
from standin import Brightness

from clipiqa_pyiqa.cli import main
from clipiqa_pyiqa.cli.options import model
from clipiqa_pyiqa.errors import CLIPIQAError

pytestmark = pytest.mark.quick

PHOTO = Path(__file__).parents[1] / "data/canyon-wren.jpg"
COMMANDS = [
    ["score", "photos", "gone.png", "--out", "a.csv"],
    ["score", "photos", "gone.png", "--out", "a.csv", "--resume"],
    ["score", "photos", "--out", "b.jsonl", "--prompts", "quality", "sharpness"],
    ["score", "photos", "--out", "shards/"],
    ["score", "photos", "--out", "a.csv"],  # taken
    ["score", "--merge", "shards", "--out", "merged.csv"],
    ["rank", "a.csv", "--worst", "2"],
    ["rank", "photos", "--out", "ranked"],
    ["gate", "a.csv", "b.jsonl", "--by", "quality", "--skip-missing", "--out", "gated"],
    ["gate", "b.jsonl", "a.csv"],
]


MADE = CLIPIQAError.__init__


def noise(error, reason="", *fields, **more):
    MADE(error, "qwx", *fields, **more)


def outcome(folder, capsys):
    """Run all commands in a folder; what they came to, without sentences."""
    (folder / "photos").mkdir()
    for number in range(7):
        Image.new("RGB", (96, 96), (30 * number,) * 3).save(folder / f"photos/{number}.png")
    (folder / "photos/empty.jpg").touch()
    (folder / "photos/half.jpg").write_bytes(PHOTO.read_bytes()[:2000])
    (folder / "photos/text.png").write_text("no image")
    codes = [main(command) for command in COMMANDS]
    found = [codes, [line for line in capsys.readouterr().out.splitlines() if "left out" not in line]]
    for path in sorted(folder.rglob("*.csv")):
        with path.open(encoding="utf-8") as file:
            rows = [line for line in file if not line.startswith("#")]
        found += [(path.name, {**row, "error": bool(row.get("error")), "stamp": ""}) for row in csv.DictReader(rows)]
    verdict = json.loads((folder / "gated/gate.json").read_text())
    return [*found, [question["verdict"] for question in verdict["columns"]]]


def test_commands_do_the_same_with_noise_in_place_of_messages(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(model, "build_metric", lambda *_: Brightness())
    results = []
    for name in ("words", "noise"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        if name == "noise":
            monkeypatch.setattr(CLIPIQAError, "__init__", noise)
        results.append(outcome(tmp_path / name, capsys))
    assert results[0] == results[1]
    assert set(results[0][0]) == {0, 1, 2}
