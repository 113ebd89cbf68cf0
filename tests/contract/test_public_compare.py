"""Metrics side by side: the numbers, what is shared, what is left out, and what is kept of a run that ends early."""

import io
import os
import re
from pathlib import Path

import pandas
import pytest
import torch
from assertions import refused
from inputs import BEST
from photos import save_grey
from PIL import Image, ImageFile

from clipiqa_pyiqa import CLIPIQA, compare, fit, train

ENDING = []  # calls that are interrupted; in a metric, they would be a part of its state


class Spread:
    """Grows with contrast; records how many images it was given."""

    version = "1"

    def __init__(self, lower_better=False):
        self.lower_better, self.calls = lower_better, 0

    def __call__(self, x):
        assert x.shape[0] == 1 and x.dtype == torch.float32 and x.min() >= 0 and x.max() <= 1
        if self.calls in ENDING:
            raise KeyboardInterrupt
        self.calls += 1
        return x.std() * (-1 if self.lower_better else 1)


@pytest.fixture
def rated(tmp_path):
    """Twelve pictures of three scenes with opinions and splits."""
    lines = ["path,mos,split,scene"]
    for number in range(12):
        image = Image.radial_gradient("L").point(lambda value, n=number: value * (n + 3) // 16)
        image.resize((64, 48)).save(tmp_path / f"{number}.png")
        lines.append(f"{number}.png,{number % 4 + (number == 9)},{('train', 'test')[number % 2]},{'abc'[number // 4]}")
    (tmp_path / "rated.csv").write_text("\n".join(lines))
    return tmp_path / "rated.csv"


def test_a_comparison_tells_which_column_is_read(rated, caplog):
    caplog.set_level("INFO")
    frame = pandas.read_csv(rated)
    frame.assign(rating=frame["mos"]).to_csv(rated, index=False)
    compare({"spread": Spread()}, rated, bootstrap=0)
    assert "the column 'mos' is read, not 'rating'" in caplog.text


def test_words_are_compared_by_their_agreement_with_people(clipiqa, rated):
    words = "--prompts 'Bright photo.|Dark photo.' 'Dark photo.|Bright photo.'"
    line = f"compare -b mini {words} -d mine={rated}:split=test --bootstrap 100 --format csv"
    table = pandas.read_csv(io.StringIO(clipiqa(line, 0).out), comment="#").set_index("metric")["SROCC"]
    assert table["Bright photo.|Dark photo."] == -table["Dark photo.|Bright photo."] != 0


def test_a_learned_metric_names_its_own_training_rows(rated, tmp_path):
    options = {"features": tmp_path / "store", "device": "cpu"}
    head = fit(rated, metric=CLIPIQA(backbone="mini"), method="affine", **options)
    head.save(tmp_path / "head.safetensors")
    table = rated.with_name("with_val.csv")
    table.write_text(re.sub(r"([0-2]\.png,\d),train", r"\1,val", rated.read_text()))
    train(table, tmp_path / "run", backbone="mini", epochs=1, batch_size=2, lr=1e-4, **options)
    for file in ("head.safetensors", "run/best.safetensors"):
        metric = CLIPIQA("clipiqa+", "mini", pretrained_model_path=tmp_path / file).eval()
        notes = [compare({"mine": metric}, f"{rated}:split={split}").data_sets[0].note for split in ("train", "test")]
        assert "mine was trained on 6 of these 6 images" in notes[0] and "mine was" not in notes[1]
        assert "mini was trained on rated photos of BIQ2021" in notes[1]


def test_a_corrupt_image_is_left_out_of_all_metrics_until_it_can_be_read(contrasts, tmp_path):
    images = contrasts["data_root"] / "graded/images"
    torn = images / "canyon-wren_contrast_2.png"
    gone = images / "canyon-wren_contrast_4.png"
    whole = torn.read_bytes()
    torn.write_bytes(whole[:2000])
    gone.unlink()
    ImageFile.LOAD_TRUNCATED_IMAGES = False

    def run():
        metrics = {"a": Spread(), "b": Spread(lower_better=True)}
        return compare(metrics, **contrasts, out=tmp_path, resume=True).data_sets[0]

    found = run()
    assert not ImageFile.LOAD_TRUNCATED_IMAGES  # pyiqa's data sets switch it on
    why = {Path(path): why for path, why in found.skipped.items()}
    assert why.keys() == {torn, gone} and "damaged" in why[torn] and "does not exist" in why[gone]
    assert found.scores.notna().all().all() and sorted(found.mos) == [BEST - 3, BEST - 1, BEST]
    assert [found.estimates[label]["SROCC"].value for label in "ab"] == pytest.approx([1, 1])
    torn.write_bytes(whole)
    assert list(run().skipped) == [str(gone)]


def test_a_replaced_picture_is_scored_again_whatever_its_name(tmp_path):
    odd = tmp_path / "in" / os.fsdecode(b"\xff.png")
    for place in (odd, odd.with_name("b.png")):
        save_grey(place, 9, (64, 48))

    def scores():
        data = {"data": {"folder": str(odd.parent)}}
        found = compare({"spread": Spread()}, data, out=tmp_path / "out", resume=True).data_sets[0].scores
        return found["spread"].to_dict()

    before = scores()
    Image.radial_gradient("L").save(odd)
    after = scores()
    assert [path for path in before if before[path] != after[path]] == [str(odd)]


def test_other_pixels_are_another_data_set(contrasts, tmp_path):
    compare({"spread": Spread()}, **contrasts, out=tmp_path)
    contrasts["data_sets"]["data"] |= {"augment": {"resize": 36}}
    refused(compare, {"spread": Spread()}, **contrasts, out=tmp_path, resume=True)
