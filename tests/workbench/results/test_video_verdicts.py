"""Videos, judged by the scores of their frames."""

import numpy as np
import pandas
import pytest
from photos import pictures, save_clip

from clipiqa_pyiqa.workbench.results.score_files import read_scores
from clipiqa_pyiqa.workbench.results.video_verdicts import verdicts_on_videos

pytestmark = pytest.mark.slow


def save(path, videos, pattern="{}.mp4::{:010.3f}", column="q", step=0.5):
    """A file of frames' scores: video -> scores, one each half second."""
    rows = [
        (pattern.format(name, step * n), score) for name, scores in videos.items() for n, score in enumerate(scores)
    ]
    pandas.DataFrame(rows, columns=["path", column]).to_csv(path, index=False)
    return path


def test_a_video_is_judged_by_mean_low_end_worst_second_and_flicker(tmp_path):
    for column, sign in [("q", 1), ("niqe", -1)]:
        scores = np.array([0.5, 0.9, 0.4, 0.2, 0.6, 0.4])
        file = save(tmp_path / "s.csv", {"a": sign * scores, "b": [sign * 0.5]}, column=column)
        with file.open("a") as lines:
            lines.write("a photo.jpg,0.9\nc.mp4::000000.000,0.9\nc.mp4,\n")
        judged = verdicts_on_videos(read_scores(file)).other
        assert [*judged.index] == ["a.mp4", "b.mp4", "c.mp4"] and [*judged.frames] == [6, 1, 1]
        end = "p5" if sign > 0 else "p95"
        found = judged.loc[
            "a.mp4", [column, *(f"{column} {what}" for what in (end, "worst second", "worst at", "flicker"))]
        ]
        expected = [sign * 0.5, sign * np.quantile(scores, 0.05), sign * 0.3, 1, np.median([0.9, 0.3, 0.6, 0.6])]
        np.testing.assert_allclose(found.astype(float), expected)
        assert np.isnan(judged.loc["b.mp4", f"{column} flicker"]) and np.isnan(judged.loc["c.mp4", column])


def test_score_writes_a_table_that_rank_takes(tmp_path, clipiqa):
    pytest.importorskip("av", reason="PyAV (the extra `video`) is not installed")
    for name in ("a", "b/a"):
        save_clip(tmp_path / f"in/{name}.mkv", pictures(25 if name == "a" else 15))
    score = "score in -b mini --every 0.5s --videos"
    for options in ("1.csv", "2.csv --out t.parquet", "3.csv --out s.csv"):
        clipiqa(f"{score} {options}", 0, "2 videos, a frame every 0.5 s")
    tables = [read_scores(f"{number}.csv") for number in (1, 2, 3)]
    for each in tables:
        pandas.testing.assert_frame_equal(each.frame, tables[0].frame)
    is_low = {name: column.lower_better for name, column in tables[0].columns.items()}
    assert [name for name in is_low if is_low[name]] == ["quality flicker"]
    worst = tables[0].frame["quality flicker"].idxmax()
    assert clipiqa("rank 1.csv --by 'quality flicker' --worst 1 --paths").out == f"{worst}\n"
    clipiqa(f"{score} 1.csv", 2)
    (tmp_path / "in/b/a.mkv").unlink()
    (tmp_path / "in/torn.mkv").write_bytes(b"torn")
    for out in ("s.csv", "t.parquet"):
        clipiqa(f"{score} 5.csv --out {out} --resume --overwrite", 1)
        assert read_scores("5.csv").errors.keys() == {"in/torn.mkv"}
        clipiqa("rank 5.csv --best 3", 1, "1 image left out", "torn.mkv")
    (tmp_path / "in/torn.mkv").unlink()
    for more in ("", "--drop-vanished"):
        clipiqa(f"{score} 4.csv --out s.csv --resume {more}", int(not more))
        assert read_scores("4.csv").frame.index.size == 1
    clipiqa("score in/a.mkv 1.csv --frames 2 --every 1s", 2)
    clipiqa("score in/a.mkv -b mini --frames 1 --videos 6.csv", 0)
    assert [*read_scores("6.csv").frame.index] == ["in/a.mkv"]
