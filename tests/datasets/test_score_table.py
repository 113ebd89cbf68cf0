"""Tables of scores: the lines that messages name, and what counts as a comment."""

from __future__ import annotations

from pathlib import Path

import pytest

from clipiqa_pyiqa.datasets.csv_files import TableError, read_rows, read_scores
from clipiqa_pyiqa.datasets.score_table import find_score_table, read_score_table


def written(folder: Path, text: str) -> Path:
    path = folder / "scores.csv"
    path.write_text(text)
    return path


def test_lines_are_counted_as_an_editor_counts_them(tmp_path):
    text = '# made by hand\n# twice\npath,score\na.png,1\n\nb.png,2\n# so far: morning\n"c\n.png",3\nd.png,good\n'
    rows, header = read_rows(written(tmp_path, text))
    assert header == ["path", "score"]
    assert [(line, row["path"]) for line, row in rows] == [(4, "a.png"), (6, "b.png"), (8, "c\n.png"), (10, "d.png")]
    with pytest.raises(TableError, match="line 10: the score 'good'"):
        read_scores(written(tmp_path, text))
    with pytest.raises(TableError, match="line 3: expected 2 columns"):
        read_rows(written(tmp_path, "# a comment\npath,score\na.png,1,2\n"))


@pytest.mark.parametrize("name", ["#1.png", "# 1.png", '"#1.png"', "#"])
def test_names_that_begin_with_a_number_sign_are_images(tmp_path, name):
    named = read_scores(written(tmp_path, f"path,score\n{name},1\nb.png,2\n"))
    assert [row.file.name for row in named] == [name.strip('"'), "b.png"]
    with pytest.raises(TableError, match="line 2: expected 2 columns"):  # never dropped in silence
        read_rows(written(tmp_path, "path,score\n#1.png\nb.png,2\n"))


def test_unknown_data_set_is_told_the_nearest():
    with pytest.raises(TableError, match="did you mean 'koniq10k"):
        find_score_table("koniq10")


@pytest.mark.parametrize(
    "header",
    [
        "Image Name,MOS", "image_name,MOS,SD", "Images,MOS", "Image name,Mean Opinion Score", "img-name,mos_quality",
        "dist_img,ref_img,quality_mos", "FileName,Mean Score",
    ],
)  # fmt: skip
def test_headers_of_real_data_sets(tmp_path, header):
    row = ",".join("a.png" if n == 0 else "4" for n in range(header.count(",") + 1))
    named = read_scores(written(tmp_path, f"{header}\n{row}\n"))
    assert named == [(2, tmp_path / "a.png", 4.0, None)]


def test_a_dmos_is_not_taken_for_an_opinion_where_high_is_good(tmp_path):
    with pytest.raises(TableError, match=r"no column of scores .*: its columns are image, dmos; say which with col"):
        read_scores(written(tmp_path, "image,dmos\na.png,3\n"))


@pytest.fixture
def photos(tmp_path):
    """Twelve files of equal size, of which 1, 5 and 9 are copies, and so are 2 and 3."""
    same = {5: 1, 9: 1, 3: 2}
    for number in range(12):
        content = same.get(number, number)
        (tmp_path / f"{number}.png").write_bytes(bytes(9000) + bytes([content]) + bytes(200))
    return tmp_path


def test_copies_of_a_photo_stay_together(photos):
    path = written(photos, "path,score\n" + "".join(f"{number}.png,{number}\n" for number in range(12)))
    for seed in range(20):
        splits = read_score_table(path, val_fraction=0.4, seed=seed, needed=()).splits
        assert len({splits[number] for number in (1, 5, 9)}) == 1 and splits[2] == splits[3]


def test_copies_in_two_given_splits_are_refused(photos):
    rows = [f"{number}.png,{number},{'val' if number in (5, 7, 8) else 'train'}\n" for number in range(12)]
    path = written(photos, "path,score,split\n" + "".join(rows))
    with pytest.raises(TableError, match=r"lines 3 \(train\) and 7 \(val\): '1.png' and '5.png' are the same photo"):
        read_score_table(path)


def test_two_columns_of_one_name_are_refused(tmp_path):
    with pytest.raises(TableError, match="two columns called 'score': rename one"):
        read_rows(written(tmp_path, "path,score,score\na.png,1,2\n"))
