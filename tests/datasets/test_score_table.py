"""Tables of scores: which columns and lines are read, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from clipiqa_pyiqa.datasets.csv_files import TableError, read_rows, read_scores
from clipiqa_pyiqa.datasets.score_table import find_score_table, read_score_table

pytestmark = pytest.mark.quick


def written(folder: Path, text: str) -> Path:
    path = folder / "scores.csv"
    path.write_text(text)
    return path


def test_comments_quotes_and_line_numbers(tmp_path):
    text = '# made by hand\n#\npath,score\na.png,1\n\n#1.png,2\n"c\n.png",3\nd.png,good\n'
    rows, header = read_rows(written(tmp_path, text))
    assert header == ["path", "score"]
    assert [(line, row["path"]) for line, row in rows] == [(4, "a.png"), (6, "#1.png"), (8, "c\n.png"), (9, "d.png")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,score\na.png,1\nb.png,good\n", "line 3: the score 'good' is not a number"),
        ("path,score\na.png,nan\n", "line 2: the score 'nan'"),
        ("# a comment\npath,score\na.png,1,2\n", "line 3: expected 2 columns"),
        ("path,score\n# never dropped in silence\n", "line 2: expected 2 columns"),
        ("path,score,score\na.png,1,2\n", "two columns called 'score': rename one"),
        ("path,score\n", "no rows"),
        ("path,score,split\na.png,1,dev\n", "split 'dev' must be one of"),
        ("path,score\na.png,3\nb.png,3\n", "scores from 3 to 3: they must differ"),
        ("path,score\na.png,3\nb.png,9\n", "range from 0 to 5"),
        ("path,score\na.png,3\nb.png,4\n", r"2 of 2 images .*cannot be found .*a.png"),
        ("image,quality\na.png,3\n", "no column of scores .*: its columns are image, quality; say which with `col"),
        ("image,DMOS\na.png,3\n", "'DMOS'.* say which with `lower_better`"),
        ("path,score,scale,metric\na.png,1,{},clipiqa\n", "holds results of clipiqa score, not opinions"),
    ],
)
def test_tables_that_cannot_be_used_are_refused(tmp_path, text, message):
    with pytest.raises(TableError, match=message):
        read_score_table(written(tmp_path, text), score_range=None if "differ" in message else (0, 5))


def test_an_unknown_data_set_is_answered_with_similar_names():
    with pytest.raises(TableError, match="koniq10k"):
        find_score_table("koniq10")


@pytest.mark.parametrize(
    "header",
    ["Image Name,MOS", "Image name,Mean Opinion Score", "img-name,mos_quality", "dist_img,ref_img,quality_mos"],
)
def test_headers_of_real_data_sets(tmp_path, header):
    row = ",".join("a.png" if n == 0 else "4" for n in range(header.count(",") + 1))
    assert read_scores(written(tmp_path, f"{header}\n{row}\n")) == [(tmp_path / "a.png", 4.0, None)]


@pytest.mark.parametrize("opinion", ["mos", "opinion", "opinion_score"])
def test_an_opinion_wins_over_a_score(tmp_path, opinion):
    assert read_scores(written(tmp_path, f"path,score,{opinion},scale,metric\na.png,1,4,,\n"))[0].score == 4


@pytest.mark.parametrize("lower_better", [False, True])
def test_dmos_whose_direction_is_said_is_read(tmp_path, lower_better):
    assert read_scores(written(tmp_path, "path,dmos\na.png,4\n"), lower_better=lower_better)[0].score == 4


def test_scores_become_shares_and_rows_get_splits(tmp_path):
    for number in range(10):
        (tmp_path / f"{number}.png").touch()
    path = written(tmp_path, "path,score\n" + "".join(f"{number}.png,{number}\n" for number in range(10)))
    table = read_score_table(path, score_range=(0, 20), lower_better=True, seed=3)
    assert table.targets == pytest.approx([1 - number / 20 for number in range(10)])
    assert len(table.rows("val")) == 2 and table.splits == read_score_table(path, seed=3).splits
    (tmp_path / "4.png").unlink()
    assert len(read_score_table(path, skip_missing=True).paths) == 9
    with pytest.raises(TableError, match="val"):
        read_score_table(path, skip_missing=True, val_fraction=0)
