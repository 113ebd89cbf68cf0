"""What was learned is judged on images that it did not learn from: against the metric at first, with an interval."""

import re

import pandas
import pytest

from clipiqa_pyiqa import fit

NUMBER = r"[+-]?\d\.\d{4}"

GAIN = rf"SROCC {NUMBER}, before {NUMBER} \({NUMBER} \[{NUMBER}, {NUMBER}\]\)"

LINE = f"judgement: it (.*) with people than the metric that it began with: {GAIN}, PLCC {NUMBER}, before {NUMBER},"


@pytest.fixture(scope="module")
def rated(photos):
    """A photo's versions, with opinions."""
    return pandas.DataFrame({"path": photos, "score": range(len(photos))})


def written(frame, path):
    frame.to_csv(path, index=False)
    return path


def test_a_fit_without_held_out_images_is_judged_by_cross_validation(sizes, store, metric):
    options = {"metric": metric, "features": store, "device": "cpu"}
    ridge = fit(sizes, method="ridge", fit_on="stages", **options)
    judgement = ridge.judgement
    assert judgement.verdict == "better" and "(5 folds)" in str(judgement) and judgement.images == 36
    assert judgement.before == ridge.before["train"].srocc and judgement.after == ridge.cross_validation["ridge"].srocc


def test_both_commands_print_the_judgement_in_one_line(rated, store, sizes, clipiqa, tmp_path):
    common = f"-b mini --features {store} --device cpu -q --out"
    asked = f"train {written(rated, tmp_path / 's.csv')} --epochs 2 --batch-size 4 --val-fraction 0.3 {common} run"
    (line,) = re.findall(f"{LINE} on 3 validation images; (.*)", clipiqa(asked, 0).out)
    assert line == ("does not clearly agree better", "judge it on more images, as 3 images cannot show a difference")
    out = clipiqa(f"fit {sizes} --method affine --lower-better --splits 3 {common} head.safetensors", 0).out
    (line,) = re.findall(f"{LINE} on 36 rated photos(.*)", out)
    assert line[0] == "does not clearly agree better" and "a fit on stages" in line[1]
    assert out.count("3 random splits that test 7 photos each, ") == 3
