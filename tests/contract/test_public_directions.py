"""Which way scores point: it travels with every copy of a result file, and of other files the column's name tells."""

import pandas
from photos import save_grey

from clipiqa_pyiqa import read_scores


def test_scales_of_earlier_files_are_read(tmp_path):
    frame = pandas.DataFrame({"path": ["a.png"], "q": [1.0], "scale": ['{"q":[0,1,"lower","3f2a9c018b6d4e75"]}']})
    frame.to_csv(tmp_path / "a.csv", index=False)
    (column,) = read_scores(tmp_path / "a.csv").columns.values()
    assert column.lower_better and column.bounds == (0, 1) and column.fingerprint == "3f2a9c018b6d4e75"


def test_an_assumed_direction_is_said_where_photos_are_picked(tmp_path, clipiqa):
    (tmp_path / "a.csv").write_text("image,q\na.png,1\nb.png,2\n")
    save_grey(tmp_path / "a.png", 9)
    for more in ("--paths", "--page page"):
        clipiqa(f"rank a.csv --worst 1 --root . {more}", 0, "assumed")
