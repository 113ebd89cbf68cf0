"""What was learned is judged on images that it did not learn from: against the metric at first, with an interval."""

from dataclasses import replace

import numpy as np
import pandas
import pytest

from clipiqa_pyiqa import CLIPIQA
from clipiqa_pyiqa.workbench.learning.fit import fit
from clipiqa_pyiqa.workbench.learning.judgement import judgement_on, knows_ratings
from clipiqa_pyiqa.workbench.learning.train import train
from clipiqa_pyiqa.workbench.opinions.score_table import read_score_table
from clipiqa_pyiqa.workbench.stats.correlation import plcc, srocc


def made(n=60, noise=1.0, groups=None):
    draw = np.random.default_rng(0)
    images = pandas.DataFrame({"target": draw.normal(size=n), "group": range(n) if groups is None else groups})
    return images, images["target"] + noise * draw.normal(size=n)


@pytest.mark.quick
def test_the_verdict_is_what_the_interval_shows():
    images, rough = made()
    fine = images["target"] + 0.1 * rough
    for before, after, verdict, sentence in (
        (rough, fine, "better", "it agrees better with people"),
        (fine, rough, "worse", "it agrees less well"),
        (rough, rough, "no better", "it does not clearly agree better"),
    ):
        judgement = judgement_on(before, after, images, "test image", 0)
        assert judgement.verdict == verdict and str(judgement).startswith(sentence)
        assert str(judgement).endswith("on 60 test images")
        assert judgement.gain.low <= judgement.gain.value == judgement.after - judgement.before <= judgement.gain.high
        assert judgement.after == srocc(after, images["target"])
        assert ("try it" in str(judgement.advised("it", False, "confirm"))) == (verdict != "better")
        assert judgement.plcc_after == plcc(after, images["target"])
    assert "mini learned" in judgement.advised("it", True).advice


def test_mini_knows_ratings_of_quality_alone():
    assert knows_ratings(CLIPIQA(backbone="mini"))
    assert not knows_ratings(CLIPIQA(backbone="mini", prompts=("Detailed photo.", "Oversmoothed photo.")))


@pytest.mark.quick
def test_too_few_or_equal_scores_show_nothing_and_the_sentence_says_so():
    images, rough = made()
    few = judgement_on(-rough[:5], rough[:5], images[:5], "image", 0).advised("it", True)
    assert few.verdict == "no better" and "more images" in few.advice
    equal = judgement_on(rough, np.zeros(60), images, "image", 0)
    assert equal.verdict == "unknown" and "all scores are 0" in str(equal)


@pytest.mark.quick
def test_photos_that_several_people_rated_are_resampled_together():
    """Ten ratings of a photo are not ten photos."""
    images, rough = made(20)
    fine = images["target"] + 0.7 * rough
    widths = []
    for groups in (range(200), np.arange(200) // 10):
        ratings = images.loc[images.index.repeat(10)].assign(group=groups)
        gain = judgement_on(np.repeat(rough, 10), np.repeat(fine, 10), ratings, "rating", 0).gain
        widths.append(gain.high - gain.low)
    assert widths[1] > 2 * widths[0]


@pytest.fixture(scope="module")
def rated(photos):
    """A photo's versions, with opinions."""
    return pandas.DataFrame({"path": photos, "score": range(len(photos))})


def written(frame, path):
    frame.to_csv(path, index=False)
    return path


def test_training_is_judged_on_the_test_images_or_else_on_those_of_validation(rated, store, tmp_path):
    options = {"backbone": "mini", "features": store, "device": "cpu", "epochs": 2, "batch_size": 2, "overwrite": True}
    splits = ["train", "val", "test"] * 3
    for split, on, count in ((splits, "test image", 3), (["train", "val", "train"] * 3, "validation image", 3)):
        found = train(written(rated.assign(split=split), tmp_path / "s.csv"), tmp_path / "run", **options)
        judged = "test" if "test" in on else "val"
        assert (found.judgement.on, found.judgement.images) == (on, count)
        assert found.judgement.before == found.before[judged]["srocc"]
        assert found.judgement.after == found.scores[judged]["srocc"]


def test_images_that_share_a_scene_with_what_was_learned_do_not_judge(rated, store, tmp_path, metric):
    splits = ["train"] * 3 + ["val"] * 3 + ["test"] * 3
    scenes = ["a", "b", "c", "d", "e", "f", "a", "h", "i"]
    table = read_score_table(written(rated.assign(split=splits, ref=scenes), tmp_path / "s.csv"), group="ref")
    options = {"backbone": "mini", "features": store, "device": "cpu", "epochs": 1, "batch_size": 2}
    assert train(table, tmp_path / "run", **options).judgement.on == "validation image"  # two test images are left
    fitted = fit(table, method="affine", metric=metric, features=store, device="cpu")
    assert (fitted.judgement.on, fitted.judgement.images) == ("validation image", 3)
    apart = replace(table, frame=table.frame.assign(group=range(9)))
    assert fit(apart, method="affine", metric=metric, features=store, device="cpu").judgement.on == "test image"


def test_an_affine_head_keeps_the_order_and_the_line_says_so(sizes, store, metric):
    options = {"metric": metric, "features": store, "device": "cpu", "method": "affine"}
    for lower_better in (False, True):
        table = read_score_table(sizes, val_fraction=0, needed=("train",), lower_better=lower_better)
        found = fit(table, **options)
        keeps = found.before["train"].plcc > 0
        assert keeps == ("never the order" in str(found.judgement))
        if keeps:
            assert found.judgement.gain.numbers == (0, 0, 0, 1) and "a fit on stages" in str(found.judgement)
