"""The photos that mini was trained on: recognised by their bytes, and left out of a table."""

import pandas as pd
from assertions import refused

from clipiqa_pyiqa.files import FileHashes, hash_file
from clipiqa_pyiqa.workbench.opinions import learned_photos
from clipiqa_pyiqa.workbench.opinions.mini_photos import photos_of_mini, warn_of_mini_photos, without_photos_of_mini
from clipiqa_pyiqa.workbench.opinions.score_table import ScoreTable


def test_minis_training_photos_can_be_left_out_of_a_table(tmp_path, monkeypatch, caplog):
    files = [tmp_path / f"{number}.jpg" for number in range(6)]
    for file in files:
        file.write_text(file.name)
    known = frozenset(hash_file(file)[: 2 * learned_photos.DIGEST_BYTES] for file in files[:3])
    monkeypatch.setattr(learned_photos, "digests_of_mini", lambda: known)
    assert learned_photos.seen_by_mini([*files, tmp_path / "gone.jpg"], FileHashes()) == [True] * 3 + [False] * 4
    splits = ["train"] * 3 + ["val"] * 3
    paths = [*map(str, files)]
    targets = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]
    table = ScoreTable("mine", pd.DataFrame({"path": paths, "target": targets, "split": splits}), (0, 1))
    assert photos_of_mini(table, "RN50") == [False] * 6
    assert table.without([False] * 6).frame.equals(table.frame)
    assert photos_of_mini(table, "mini") == [True] * 3 + [False] * 3
    warn_of_mini_photos(table, "RN50", is_left_out=True)
    assert not caplog.text
    warn_of_mini_photos(table, "mini", is_left_out=False)
    assert "mini was trained on 3 of these 6 images" in caplog.text
    warn_of_mini_photos(table, "mini", is_left_out=True)
    assert "left out: 3 images that mini was trained on" in caplog.text
    others = without_photos_of_mini(table, "mini")
    assert others.frame.equals(table.frame[3:])
    others.check_splits(("val",))
    refused(others.check_splits, ("train",))
