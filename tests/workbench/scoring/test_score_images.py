"""Images in memory: a row for each, whatever its form, and a scorer that survives pickling."""

import functools
import pickle
from pathlib import Path

import numpy as np
import pandas
import pyarrow
import pytest
import torch
from assertions import refused
from metrics import Brightness
from PIL import ImageFile
from shard_makers import picture

from clipiqa_pyiqa import OptionError, PromptError, Scorer, score_images

DATA = Path(__file__).parents[2] / "data"
FILE = DATA / "canyon-wren.jpg"
GREY = np.full((40, 48, 3), 51, np.uint8)  # scores 0.2


def test_a_row_for_each_image_in_order_with_flag_or_error():
    images = pandas.Series([GREY, None, b"none", np.zeros((64, 64, 3)) - 1, picture(102)])
    found = score_images(Brightness(), images, device="cpu")
    assert found.columns.tolist() == ["quality", "flag", "error"] and found.index.tolist() == [*range(5)]
    assert found["quality"].tolist() == pytest.approx([0.2, np.nan, np.nan, np.nan, 0.4], abs=1e-6, nan_ok=True)
    assert found["flag"].tolist() == ["almost uniform", "", "", "", "almost uniform"]
    assert found["error"].astype(bool).tolist() == [False, True, True, True, False]
    assert "it is None" in found["error"][1] and "from -1 to -1, outside [0, 1]" in found["error"][3]


def test_a_scorer_takes_the_batches_of_pipelines():
    for batch in [
        {"bytes": [picture(51)] * 2},
        {"image": np.stack([GREY] * 2)},
        {"image": np.array([GREY, GREY[:36]], object)},  # of several sizes
        pandas.Series([GREY, GREY]),
        pandas.DataFrame({"image": [GREY, picture(51)]}),
        torch.from_numpy(np.stack([GREY] * 2)),
        pyarrow.chunked_array([[{"bytes": picture(51)}]] * 2),
    ]:
        found = Scorer(Brightness(), device="cpu")(batch)
        assert found["quality"] == pytest.approx([0.2, 0.2], abs=1e-6)
        kept = list(batch) if isinstance(batch, dict | pandas.DataFrame) else []
        assert list(found) == [*kept, "quality", "flag", "error"]


made = []


def make():
    made.append(1)
    return Brightness()


def test_a_scorer_makes_its_metric_at_the_first_batch_and_once_however_often_it_is_unpickled(monkeypatch):
    pickled = pickle.dumps(Scorer(make, device="cpu"))
    scorers = [pickle.loads(pickled), pickle.loads(pickled)]
    assert not made
    for scorer in scorers:
        assert scorer([GREY])["quality"] == pytest.approx([0.2], abs=1e-6)
    assert made == [1]
    monkeypatch.setattr(make, "__code__", made_of_global.__code__)  # a notebook's cell runs again
    assert pickle.loads(pickled) is not scorers[0]


def test_what_cannot_be_used_is_refused_when_the_scorer_is_made():
    with pytest.raises(PromptError):
        Scorer(Brightness(), "no such prompt")
    with pytest.raises(OptionError):
        Scorer(Brightness(), bach_size=3)
    refused(Scorer(Brightness(), device="cpu"), {"a": [], "b": []})


def test_a_column_that_exists_is_not_replaced():
    batch = {"image": [GREY], "quality": ["mine"]}
    refused(Scorer(Brightness(), device="cpu"), batch)
    found = Scorer(Brightness(), device="cpu", prefix="clip_")(batch)
    assert found["quality"] == ["mine"] and found["clip_quality"] == pytest.approx([0.2], abs=1e-6)


WEIGHTS = "w.pt"


def made_from(path="w.pt"):
    return Brightness()


def made_of_constant():
    return made_from("w.pt")


def made_of_global():
    return made_from(WEIGHTS)


@pytest.mark.parametrize(
    "factory", [functools.partial(made_from, path="w.pt"), made_from, made_of_constant, made_of_global]
)
def test_a_scorer_whose_file_was_replaced_has_another_pickle(tmp_path, monkeypatch, factory):
    """Pipelines take a pickle as the key of what they store."""
    monkeypatch.chdir(tmp_path)
    scorer = Scorer(factory, device="cpu")
    found = []
    for content in (b"one", b"two", b"two"):
        (tmp_path / "w.pt").write_bytes(content)
        found.append(pickle.dumps(scorer))
    assert found[0] != found[1] == found[2]


def test_the_callers_setting_of_pil_is_back(monkeypatch):
    for before in (True, False):
        monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", before)
        score_images(Brightness(), [FILE] * 4, device="cpu", workers=2)
        assert ImageFile.LOAD_TRUNCATED_IMAGES is before
