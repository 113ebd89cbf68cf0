"""Heads fitted to rated photos: closed forms against refits, files, scales, and what is refused."""

import re
import shutil
from collections import Counter
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas
import pyiqa
import pytest
import torch
from assertions import refused
from PIL import Image
from safetensors.torch import load_file, save_file
from tensors import assert_close, uniform

from clipiqa_pyiqa import CLIPIQA, CLIPIQALoss
from clipiqa_pyiqa import files as hashes
from clipiqa_pyiqa import training as heads
from clipiqa_pyiqa.prompts.head import content_checksum
from clipiqa_pyiqa.weights.checkpoint import open_checkpoint
from clipiqa_pyiqa.workbench.files.locking import locked
from clipiqa_pyiqa.workbench.images.image import read_image
from clipiqa_pyiqa.workbench.learning import fit as fitting
from clipiqa_pyiqa.workbench.metrics.building import build_metrics
from clipiqa_pyiqa.workbench.opinions.score_table import read_score_table
from clipiqa_pyiqa.workbench.stats.correlation import srocc


@pytest.fixture
def table(sizes):
    return sizes


@pytest.fixture
def fit(store, metric):
    return partial(fitting.fit, metric=metric, features=store, device="cpu")


@pytest.fixture
def command(clipiqa, store):
    """`clipiqa fit` of mini into head.safetensors."""
    options = f"--backbone mini --features {store} --out head.safetensors --quiet"
    return lambda scores, more="", *said: clipiqa(f"fit {scores} {options} {more}", *said)


@pytest.mark.parametrize("width", [6, 90])  # fewer features than photos, and more
def test_ridge_is_a_least_squares_fit_whose_penalty_predicts_photos_left_out(monkeypatch, width):
    """Against refits without each photo in turn, for every penalty."""
    penalties = np.array([1e-4, 0.02, 1.0])
    monkeypatch.setattr(heads, "PENALTIES", penalties)
    dice = np.random.default_rng(0)
    given = dice.normal(size=(40, width))
    zero_shot = dice.uniform(size=40)
    shares = 0.3 * zero_shot + given @ dice.normal(size=width) / 10 + 0.4 + 0.05 * dice.normal(size=40)
    data = heads.RatedPhotos(given, zero_shot, shares)
    x = (given - given.mean(0)) / given.std(0)
    basis = np.column_stack([zero_shot, np.ones(40)])
    rest = x - basis @ np.linalg.lstsq(basis, x, rcond=None)[0]
    largest = np.linalg.eigvalsh(rest.T @ rest)[-1]

    def solve(rows, penalty):
        system = np.block([[basis[rows], x[rows]], [np.zeros((width, 2)), np.sqrt(penalty) * np.eye(width)]])
        return np.linalg.lstsq(system, np.append(shares[rows], np.zeros(width)), rcond=None)[0]

    everything = np.arange(40)
    both = np.column_stack([basis, x])
    errors = [
        np.mean([(shares[n] - both[n] @ solve(everything != n, penalty * largest)) ** 2 for n in everything])
        for penalty in penalties
    ]
    expected = both @ solve(everything >= 0, penalties[np.argmin(errors)] * largest)
    assert heads.predict(heads.fit_ridge(data), data) == pytest.approx(expected, abs=1e-9)  # float64
    line = heads.predict(heads.fit_affine(data), data)
    assert line == pytest.approx(np.polyval(np.polyfit(zero_shot, shares, 1), zero_shot), abs=1e-9)


def test_inputs_that_do_not_vary_add_nothing_to_the_line():
    photos = heads.RatedPhotos(np.ones((4, 3)), np.linspace(0, 1, 4), np.array([0.1, 0.3, 0.4, 0.9]))
    ridge, affine = (heads.predict(fit(photos), photos) for fit in (heads.fit_ridge, heads.fit_affine))
    assert ridge == pytest.approx(affine)


@pytest.mark.parametrize("method", heads.FITS)
@pytest.mark.parametrize("fit_on", ("features", "stages"))
@pytest.mark.slow
def test_from_scores_to_a_loaded_metric(method, fit_on, table, fit, metric, tmp_path):
    result = fit(table, method=method, fit_on=fit_on)
    result.save(tmp_path / "head.safetensors")
    loaded = CLIPIQA("clipiqa+", pretrained_model_path=tmp_path / "head.safetensors").eval()
    assert loaded.clip.weights.backbone == "mini" and loaded.columns == ("head",)
    x = torch.stack([read_image(path).pixels for path in result.table.frame["path"]]) / 255
    with torch.no_grad():
        scores = loaded(x)
        features = loaded.encode_image(x)
        assert_close(loaded.score(features), scores, atol=0)
        assert_close(result.head(features), scores, atol=0)  # the file lost nothing
        asked = loaded.score(features, "sharpness"), metric(x, "sharpness")
    assert_close(*asked, atol=1e-5)  # other questions still have their answers
    agreement = srocc(scores[:, 0].numpy(), result.table.frame["target"])
    assert agreement > (0.8 if method == "ridge" else result.cross_validation[method].srocc - 0.05)
    assert f"{method} head" in repr(loaded)


@pytest.fixture(scope="module")
def copies(tmp_path_factory):
    """30 references, each saved as eight JPEGs; opinions depend on the reference alone, at random."""
    folder = tmp_path_factory.mktemp("copies")
    dice = np.random.default_rng(0)
    rows = []
    for number, opinion in enumerate(dice.permutation(30)):
        small = dice.integers(0, 256, (6, 6, 3), np.uint8)
        picture = Image.fromarray(small).resize((64, 64), Image.Resampling.BICUBIC)
        for quality in range(20, 100, 20):
            path = folder / f"{number}-{quality}.jpg"
            picture.save(path, quality=quality)
            rows.append((number, path, opinion + dice.uniform(0, 0.5)))
    pandas.DataFrame(rows, columns=["scene", "path", "score"]).to_csv(folder / "scores.csv", index=False)
    return folder / "scores.csv"


def test_each_photo_is_hashed_once(table, fit, monkeypatch):
    counts = Counter()
    hash_file = hashes.hash_file
    monkeypatch.setattr(hashes, "hash_file", lambda path: counts.update([str(path)]) or hash_file(path))
    fit(table, method="affine", splits=0)
    photos = [path for path in counts if path.endswith(".png")]
    assert len(photos) == 36 and {*counts.values()} == {1}


@pytest.mark.slow
def test_copies_of_a_reference_are_not_both_fitted_and_predicted(copies, fit):
    """Nothing is to be learned, which cross-validation and splits show when they keep references together."""
    tables = (read_score_table(copies, group=group, val_fraction=0, needed=()) for group in (None, "scene"))
    apart, together = (fit(table, method="ridge", splits=5, fit_on="stages") for table in tables)
    assert apart.cross_validation["ridge"].srocc > 0.9 and min(each.srocc for each in apart.splits) > 0.9
    # random opinions of 30 references: |SROCC| < 0.36 in 95 %; those of the 6 held out vary more
    assert abs(together.cross_validation["ridge"].srocc) < 0.5
    assert np.median([each.srocc for each in together.splits]) < 0.6
    for drawn in together.drawn:
        groups = together.table.part("train")["group"]
        is_out = groups.index.isin(drawn)
        assert not {*groups[is_out]} & {*groups[~is_out]} and len(drawn) == len(groups) // 5


@pytest.mark.parametrize("are_copies, columns", [(False, 2), (True, 2), (True, 3)])
def test_rows_of_one_photo_are_one_group(copies, tmp_path, caplog, are_copies, columns):
    """A photo that six people rated is not on both sides, also where each has a file of his own or two groups."""
    rows = []
    for number, path in enumerate(sorted(copies.parent.glob("*-20.jpg"))[:10]):
        for rating in range(6):
            place = tmp_path / f"{number}-{rating if are_copies else 0}.jpg"
            shutil.copy(path, place)
            rows.append((place, rating + number / 10, f"{number}, {(number + rating) % 3 > 0}")[:columns])
    pandas.DataFrame(rows, columns=["path", "score", "ref"][:columns]).to_csv(tmp_path / "scores.csv", index=False)
    caplog.set_level("INFO")
    rated = read_score_table(tmp_path / "scores.csv", needed=())
    rated.log_notes()
    frame = rated.frame
    assert "50 further rows" in caplog.text
    contents = frame["path"].map(lambda path: Path(path).read_bytes())
    assert frame["group"].nunique() == 10 and frame["split"].groupby(contents).nunique().eq(1).all()
    assert {*frame["split"]} == {"train", "val"} and "splits share" not in caplog.text
    for split, shared in ((["train", "val"] * 30, "10 groups"), (["train"] * 57 + ["val"] * 3, "1 group ")):
        frame.assign(split=split).to_csv(tmp_path / "given.csv", index=False)
        read_score_table(tmp_path / "given.csv").log_notes()
        assert f"splits share {shared}" in caplog.text


def test_what_is_not_read_is_told_before_fitting(table, fit, tmp_path, caplog):
    caplog.set_level("INFO")
    frame = pandas.read_csv(table)
    frame = frame.assign(rating=frame["mos"])
    frame.loc[len(frame)] = ("gone.jpg", 1, 1)
    frame.to_csv(tmp_path / "scores.csv", index=False)
    rated = read_score_table(tmp_path / "scores.csv", skip_missing=True, val_fraction=0, needed=("train",))
    assert not caplog.records
    fit(rated, method="affine")
    assert "the column 'mos' is read, not 'rating'" in caplog.text and "left out: 1 missing image" in caplog.text


def test_splits_are_printed_and_written_as_a_table_that_can_be_read(copies, command, tmp_path):
    path = tmp_path / "splits.csv"
    ran = command(copies, f"--group scene --splits 3 --method affine --lower-better --splits-out {path}", 0)
    assert re.search(r"3 random splits .* median +-?0\.\d{4} ", ran.out)
    columns = ("path", "score", "split_2")
    options = {"score_range": (0, 30), "lower_better": True, "needed": ()}
    read = read_score_table(path, columns=columns, group="group", **options)
    given = read_score_table(copies, val_fraction=0, **options)
    np.testing.assert_allclose(read.frame["target"], given.frame["target"], atol=1e-9)
    assert len(read.part("test")) == 24 and len(read.frame.groupby(["group", "split"])) == 30


def test_a_head_that_turns_the_order_round_says_so(table, fit, caplog):
    for lower_better in (False, True):
        fit(read_score_table(table, val_fraction=0, needed=("train",), lower_better=lower_better), method="affine")
    assert caplog.text.count("rate more photos") == 1


def test_a_head_keeps_the_scale_and_the_direction_of_its_scores(table, fit, tmp_path, caplog):
    path = tmp_path / "head.safetensors"
    ours = read_score_table(table, val_fraction=0, needed=("train",), score_range=(0, 5), lower_better=True)
    share, own = (fit(ours, own_scale=scale) for scale in (False, True))
    assert "extrapolated" not in caplog.text
    fit(read_score_table(table, val_fraction=0, needed=("train",), score_range=(0, 9)))
    assert "extrapolated" in caplog.text
    own.save(path)
    loaded = CLIPIQA("clipiqa+", pretrained_model_path=path, aggregate=None).eval()
    assert (loaded.score_range, loaded.lower_better) == ((0, 5), True)
    assert "low scores" not in caplog.text
    wrapped = pyiqa.create_metric("clipiqa+", pretrained_model_path=str(path), device="cpu")
    assert (wrapped.net.score_range, wrapped.net.lower_better) == ((0, 5), True)
    assert not wrapped.lower_better and "low scores of this head are good" in caplog.text  # pyiqa's own configuration
    objects = {"loaded": loaded, "wrapped": wrapped}
    named = [f"mine=clipiqa+:pretrained_model_path={path}"]
    columns = build_metrics([objects, named]).columns
    assert {(column.lower_better, column.bounds) for column in columns} == {(True, (None, None))}

    x = (read_image(ours.frame["path"][0]).pixels[None] / 255).requires_grad_()
    score = loaded(x).item()
    loss = CLIPIQALoss(metric=loaded)(x)
    assert score == pytest.approx(5 * (1 - share.head(loaded.encode_image(x)).item()), abs=1e-5)
    assert loss.item() == pytest.approx(score / 5, abs=1e-6)  # better photos cost less on any scale
    loss.backward()
    assert x.grad.norm() > 0
    refused(CLIPIQALoss, form="nll", metric=loaded)


def test_auto_takes_what_errs_least_on_photos_it_was_not_fitted_to(table, fit):
    result = fit(table, fit_on="stages")
    errors = {name: found.rmse for name, found in result.cross_validation.items()}
    assert list(errors) == list(heads.FITS) and errors[result.head.method] < 0.8 * errors["affine"]
    assert fit(table, fit_on="stages").head.metadata == result.head.metadata  # a seed decides


def test_the_command_prints_a_line_that_loads_its_head(table, command, clipiqa):
    ran = command(table, "--own-scale --range 1 5", 0)
    net = eval(ran.out.strip().splitlines()[-1], {"pyiqa": pyiqa}).net
    assert net.clip.weights.backbone == "mini" and net.score_range == (1, 5)
    command(table, "", 2)  # a head is not replaced unless told
    assert "safetensors" in clipiqa("fit none.csv --out head.pth", 2).err  # before all that takes time


def test_two_fits_do_not_write_the_same_file(table, command):
    with locked("head.safetensors"):
        command(table, "", 2, "'head.safetensors' is being written by")
    assert not Path("head.safetensors").exists()


def test_fits_that_cannot_be_made_are_refused(table, fit):
    ours = read_score_table(table, val_fraction=0, needed=("train",))
    two = CLIPIQA(backbone="mini", prompts=["sharpness", "noisiness"])
    for rows, options in ((5, {"method": "ridge"}), (12, {"fit_on": "stage"}), (12, {"metric": two})):
        refused(fit, replace(ours, frame=ours.frame[:rows]), **options)


def test_a_head_of_another_tower_or_form_is_refused(table, fit, tmp_path):
    path = tmp_path / "head.safetensors"
    fit(table, method="ridge").save(path)
    tensors = load_file(path)
    said = open_checkpoint(path).metadata
    forms = {
        "backbone": "RN50",
        "weights_sha256": "0" * 64,
        "format": "clipiqa-pyiqa opinion head 2",
        "method": "forest",
    }
    for key, value in forms.items():
        metadata = {**said, key: value}
        save_file(tensors, path, metadata | {"sha256": content_checksum(tensors, metadata)})
        refused(CLIPIQA, "clipiqa+", "mini", pretrained_model_path=path)


@pytest.mark.parametrize(
    "backbone", ["mini", *(pytest.param(name, marks=pytest.mark.long) for name in ("RN50", "ViT-B/32"))]
)
def test_stages_are_those_of_the_pass_that_makes_the_feature(seeded_weights, backbone):
    metric = CLIPIQA(backbone=backbone, clip_weights=seeded_weights(backbone)).eval()
    x = uniform(2, 3, 96, 64).requires_grad_()
    both = metric.encode_stages(x)
    with torch.no_grad():
        features = metric.encode_image(x)
        single = torch.cat([metric.encode_stages(image[None]) for image in x])
        dim = features.shape[1]
        assert_close(both[:, :dim], features, atol=2e-6)  # a ViT's last block has other shapes
        torch.testing.assert_close(both, single, atol=1e-4, rtol=1e-4)
    both[:, dim:].sum().backward()
    assert x.grad.abs().amax(dim=(1, 2, 3)).min() > 0
