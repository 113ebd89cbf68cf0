"""Code takes no decision from a sentence: with noise in place of every message, commands do the same."""

import json
from pathlib import Path

import pandas
import pytest
from photos import save_grey

from clipiqa_pyiqa.cli import main
from clipiqa_pyiqa.errors import CLIPIQAError

pytestmark = pytest.mark.quick

PHOTO = Path(__file__).parents[1] / "data/canyon-wren.jpg"
COMMANDS = [
    "score photos gone.png --out a.csv",
    "score photos gone.png --out a.csv --resume",
    "score photos --out b.jsonl --prompts quality sharpness",
    "score photos --out shards/",
    "score photos --out a.csv",  # taken
    "score --merge shards --out merged.csv",
    "rank a.csv --worst 2",
    "rank photos --out ranked",
    "gate a.csv b.jsonl --by quality --skip-missing --out gated",
    "gate b.jsonl a.csv",
]
MADE = CLIPIQAError.__init__


def noise(error, reason="", *fields, **more):
    MADE(error, "qwx", *fields, **more)


def outcome(folder, capsys):
    """Run all commands in a folder; what they came to, without sentences."""
    for number in range(7):
        save_grey(folder / f"photos/{number}.png", 30 * number, (96, 96))
    (folder / "photos/empty.jpg").touch()
    (folder / "photos/half.jpg").write_bytes(PHOTO.read_bytes()[:2000])
    (folder / "photos/text.png").write_text("no image")
    codes = [main(command.split()) for command in COMMANDS]
    lines = [line for line in capsys.readouterr().out.splitlines() if "left out" not in line]
    tables = {}
    for path in sorted(folder.rglob("*.csv")):
        table = pandas.read_csv(path, comment="#", dtype=str, keep_default_na=False)
        tables[path.name] = table.drop(columns=["error", "stamp"], errors="ignore").to_dict()
        tables[f"failed in {path.name}"] = [bool(error) for error in table.get("error", ())]
    verdict = json.loads((folder / "gated/gate.json").read_text())
    return codes, lines, tables, [question["verdict"] for question in verdict["columns"]]


@pytest.mark.usefixtures("standin")
def test_commands_do_the_same_with_noise_in_place_of_messages(tmp_path, monkeypatch, capsys):
    results = []
    for name in ("words", "noise"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        if name == "noise":
            monkeypatch.setattr(CLIPIQAError, "__init__", noise)
        results.append(outcome(tmp_path / name, capsys))
    assert results[0] == results[1]
    assert set(results[0][0]) == {0, 1, 2}
