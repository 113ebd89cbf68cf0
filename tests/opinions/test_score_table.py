"""Tables of scores: the lines that messages name, and what counts as a comment."""

from __future__ import annotations

from pathlib import Path

import pytest

from clipiqa_pyiqa.opinions.score_table import TableError, find_score_table, read_rows, read_scores


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
    assert [file.name for file in named.files] == [name.strip('"'), "b.png"]
    with pytest.raises(TableError, match="line 2: expected 2 columns"):  # never dropped in silence
        read_rows(written(tmp_path, "path,score\n#1.png\nb.png,2\n"))


def test_unknown_data_set_is_told_the_nearest():
    with pytest.raises(TableError, match="did you mean 'koniq10k"):
        find_score_table("koniq10")
