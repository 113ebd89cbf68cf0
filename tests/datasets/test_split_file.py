"""pyiqa's pickles of splits: read as data, never run."""

from __future__ import annotations

import csv
import os
import pickle
from pathlib import Path
from typing import Any

import pytest

from clipiqa_pyiqa.datasets.score_table import read_score_table
from clipiqa_pyiqa.datasets.split_file import SplitFileError, read_split_file


def pickled(path: Path, content: Any, protocol: int = 4) -> Path:
    path.write_bytes(pickle.dumps(content, protocol))
    return path


def table(folder: Path, rows: int, name: str = "scores.csv") -> Path:
    folder.mkdir(exist_ok=True)
    with open(folder / name, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["img_name", "MOS"])
        for row in range(rows):
            (folder / f"{row}.jpg").write_text(str(row))  # photos that differ
            writer.writerow([f"{row}.jpg", row * 10])
    return folder / name


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_splits(tmp_path: Path, protocol: int) -> None:
    content = {1: {"train": [0, 3], "val": [1], "test": []}, 2: {"train": [1, 2], "val": []}}
    path = pickled(tmp_path / "splits.pkl", content, protocol)
    assert read_split_file(path, 1, 5) == ["train", "val", None, "train", None]
    assert read_split_file(path, 2, 3) == [None, "train", "train"]


class Trap:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("ran",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (Trap(), "mkdir, which could run code"),
        ({1: {"train": [Trap()]}}, "mkdir, which could run code"),
        ({1: {"train": [0, 9]}}, "names row 9, but the table has 5"),
        ({1: {"train": [-1]}}, "names row -1"),
        ({1: {"train": [0], "val": [0]}}, "has row 0 in 'train' and in 'val'"),
        ({1: {"train": [True]}}, "'train' of split 1 in .* must be a list of row numbers"),
        ({1: {"train": "01"}}, "must be a list of row numbers"),
        ({2: {}, 3: {}}, "has no split with the split_index 1"),
        ([0, 1], "has no split with the split_index 1"),
    ],
)
def test_what_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: Any, message: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SplitFileError, match=message):
        read_split_file(pickled(tmp_path / "splits.pkl", content), 1, 5)
    assert not (tmp_path / "ran").exists()


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(SplitFileError, match=r"splits\.pkl' cannot be read: No such file"):
        read_split_file(tmp_path / "splits.pkl", 1, 5)
    whole = pickled(tmp_path / "splits.pkl", {1: {"train": [0]}}).read_bytes()
    for content in (b"", whole[:-3], b"train,val\n", bytes(reversed(whole))):
        (tmp_path / "splits.pkl").write_bytes(content)
        with pytest.raises(SplitFileError, match="is no file of splits that can be used"):
            read_split_file(tmp_path / "splits.pkl", 1, 5)


def test_table_with_a_split_file(tmp_path: Path) -> None:
    """Rows in no split are left out, whether their images are there or not."""
    scores = table(tmp_path / "a", 6)
    (tmp_path / "a" / "5.jpg").unlink()
    splits = pickled(tmp_path / "splits.pkl", {1: {"train": [4, 0], "val": [2, 3], "test": []}})
    found = read_score_table(scores, score_range=(0, 100), split_file=splits)
    assert [path.name for path in found.paths] == ["0.jpg", "2.jpg", "3.jpg", "4.jpg"]
    assert found.splits == ("train", "val", "val", "train") and found.targets == (0, 0.2, 0.3, 0.4)


def test_a_column_of_splits_gives_way_to_the_file(tmp_path: Path) -> None:
    """pyiqa's own tables may have a column of that name with words of its own."""
    scores = table(tmp_path, 4)
    lines = scores.read_text().splitlines()
    scores.write_text("\n".join([f"{lines[0]},split", *(f"{line},training" for line in lines[1:])]) + "\n")
    splits = pickled(tmp_path / "splits.pkl", {1: {"train": [0, 1], "val": [2, 3]}})
    assert read_score_table(scores, split_file=splits).splits == ("train", "train", "val", "val")
