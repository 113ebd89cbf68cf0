"""Heads fitted to rated photos: closed forms against refits, files, scales, and what is refused."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pyiqa
import pytest
import torch
from photos import PHOTOS, distorted_photos
from PIL import Image
from safetensors.torch import load_file, save_file

from clipiqa_pyiqa import CLIPIQA, CLIPIQALoss, PromptError
from clipiqa_pyiqa.cli import main
from clipiqa_pyiqa.datasets.score_table import read_score_table
from clipiqa_pyiqa.errors import CLIPIQAError
from clipiqa_pyiqa.images.reader import read_image
from clipiqa_pyiqa.learning import fitting
from clipiqa_pyiqa.prompts.files import content_checksum
from clipiqa_pyiqa.prompts.heads import METHODS, read_metadata
from clipiqa_pyiqa.scoring.metric_specs import parse_metrics
from clipiqa_pyiqa.stats.correlation import srocc

COUNT = 36


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos with scores from 1 to 5 that no zero-shot question asks for: how large their files are."""
    folder = tmp_path_factory.mktemp("photos")
    paths = distorted_photos(folder, PHOTOS, (64, 48), parts=2)[:COUNT]
    order = np.argsort(np.argsort([path.stat().st_size for path in paths]))
    rows = [f"{path.name},{1 + 4 * rank / (COUNT - 1):.4f}" for path, rank in zip(paths, order, strict=True)]
    (folder / "scores.csv").write_text("path,mos\n" + "\n".join(rows))
    return folder / "scores.csv"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("features")


@pytest.fixture
def fit(store: Path, metric: CLIPIQA) -> Callable[..., fitting.FitResult]:
    return partial(fitting.fit, metric=metric, features=store, device="cpu")


def made_up(count: int = 40, width: int = 6, noise: float = 0.05) -> fitting.RatedPhotos:
    """Features whose scores are a line through the zero-shot score, a linear function, and noise."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(count, width))
    zero_shot = generator.uniform(size=count)
    shares = 0.3 * zero_shot + x @ generator.normal(size=width) / 10 + 0.4 + noise * generator.normal(size=count)
    return fitting.RatedPhotos(x, zero_shot, shares)


@pytest.mark.parametrize("width", [6, 90], ids=["more photos than features", "more features than photos"])
def test_ridge_is_a_least_squares_fit_whose_penalty_predicts_photos_left_out(monkeypatch, width):
    """Against refits without each photo in turn, for every penalty."""
    penalties = np.array([1e-4, 0.02, 1.0])
    monkeypatch.setattr(fitting, "PENALTIES", penalties)
    data = made_up(width=width)
    x = (data.x - data.x.mean(0)) / data.x.std(0)
    basis = np.column_stack([data.zero_shot, np.ones(40)])
    rest = x - basis @ np.linalg.lstsq(basis, x, rcond=None)[0]
    largest = np.linalg.eigvalsh(rest.T @ rest)[-1]

    def solve(rows: np.ndarray, penalty: float) -> np.ndarray:
        system = np.block([[basis[rows], x[rows]], [np.zeros((width, 2)), np.sqrt(penalty) * np.eye(width)]])
        return np.linalg.lstsq(system, np.append(data.shares[rows], np.zeros(width)), rcond=None)[0]

    everything, both = np.arange(40), np.column_stack([basis, x])
    errors = [
        np.mean([(data.shares[n] - both[n] @ solve(everything != n, penalty * largest)) ** 2 for n in everything])
        for penalty in penalties
    ]
    expected = both @ solve(everything >= 0, penalties[np.argmin(errors)] * largest)
    assert fitting.predict(fitting.fit_ridge(data), data) == pytest.approx(expected, abs=1e-9)  # float64
    line = fitting.predict(fitting.fit_affine(data), data)
    assert line == pytest.approx(np.polyval(np.polyfit(data.zero_shot, data.shares, 1), data.zero_shot), abs=1e-9)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("fit_on", fitting.FIT_ON)
def test_from_scores_to_a_loaded_metric(method, fit_on, table, fit, metric, tmp_path):
    result = fit(table, method=method, fit_on=fit_on)
    assert result.table.part("val").empty and result.head.metadata["rated_photos"] == str(COUNT)
    result.save(tmp_path / "head.safetensors")
    loaded = CLIPIQA("clipiqa+", pretrained_model_path=tmp_path / "head.safetensors").eval()
    assert loaded.clip.weights.backbone == "mini" and loaded.columns == ("head",)
    x = torch.stack([read_image(path).pixels for path in result.table.frame["path"]]) / 255
    with torch.no_grad():
        scores, features = loaded(x), loaded.encode_image(x)
        torch.testing.assert_close(loaded.score(features), scores, atol=0, rtol=0)
        torch.testing.assert_close(result.head(features), scores, atol=0, rtol=0)  # the file lost nothing
        asked = loaded.score(features, "sharpness"), metric(x, "sharpness")
    torch.testing.assert_close(*asked, atol=1e-5, rtol=0)  # other questions still have their answers
    agreement = srocc(scores[:, 0].numpy(), result.table.frame["target"])
    assert agreement > (0.8 if method == "ridge" else result.cross_validation[method].srocc - 0.05)
    assert f"{method} head" in repr(loaded) and loaded.state_dict() == {}


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 references, each saved as eight JPEGs; opinions depend on the reference alone, at random."""
    folder = tmp_path_factory.mktemp("copies")
    dice, lines = np.random.default_rng(0), ["scene,path,score"]
    for number, opinion in enumerate(dice.permutation(30)):
        small = dice.integers(0, 256, (6, 6, 3), np.uint8)
        picture = Image.fromarray(small).resize((64, 64), Image.Resampling.BICUBIC)
        for copy, quality in enumerate(range(20, 100, 10)):
            picture.save(folder / f"{number}-{copy}.jpg", quality=quality)
            lines.append(f"{number},{number}-{copy}.jpg,{opinion + dice.uniform(0, 0.5):.3f}")
    (folder / "scores.csv").write_text("\n".join(lines))
    return folder / "scores.csv"


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


def test_splits_are_printed_and_written_as_a_table_that_can_be_read(copies, store, tmp_path, capsys):
    command = ["fit", str(copies), "--out", str(tmp_path / "head.safetensors"), "--group", "scene", "--splits", "3"]
    command += ["--method", "affine", "--backbone", "mini", "--features", str(store), "--device", "cpu", "--quiet"]
    assert main([*command, "--splits-out", str(tmp_path / "splits.csv"), "--lower-better"]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"3 random splits of 80 and 20 %, median +-?0\.\d{4} ", printed) and "zero-shot" in printed
    read = read_score_table(
        tmp_path / "splits.csv", columns=("path", "score", "split_2"), group="group", lower_better=True, needed=()
    )
    given = read_score_table(copies, lower_better=True, val_fraction=0, needed=())
    assert read.frame["target"].tolist() == pytest.approx(given.frame["target"].tolist())
    assert len(read.part("test")) == 48 and len(read.frame.groupby(["group", "split"])) == 30


def test_own_scale_and_direction(table, fit, tmp_path):
    path = tmp_path / "head.safetensors"
    ours = read_score_table(table, val_fraction=0, needed=("train",), score_range=(0, 5), lower_better=True)
    share, own = (fit(ours, own_scale=scale) for scale in (False, True))
    own.save(path)
    loaded = CLIPIQA("clipiqa+", pretrained_model_path=path, aggregate=None).eval()
    assert (loaded.score_range, loaded.lower_better, loaded.columns) == ((0, 5), True, ("head",))
    assert "scores from 0 to 5, low is good" in repr(loaded)
    wrapped = pyiqa.create_metric("clipiqa+", pretrained_model_path=str(path), device="cpu")
    for made in (loaded, wrapped):  # pyiqa's wrapper says that high is good, from 0 to 1
        (spec,) = parse_metrics({"head": made})
        assert (spec.lower_better, spec.score_range) == (True, "0, 5")
    (spec,) = parse_metrics([f"mine=clipiqa+:pretrained_model_path={path}"])
    assert (spec.score_range, spec.lower_better) == ("0, 5", True)  # `compare` goes by the file's scale
    (record,) = loaded.provenance()["scores"].values()
    assert (record["range"], record["lower_better"]) == ([0, 5], True)

    x = (read_image(ours.frame["path"][0]).pixels[None] / 255).requires_grad_()
    score, loss = loaded(x).item(), CLIPIQALoss(metric=loaded)(x)
    assert score == pytest.approx(5 * (1 - share.head(loaded.encode_image(x)).item()), abs=1e-5)
    assert loss.item() == pytest.approx(score / 5, abs=1e-6)  # better photos cost less on any scale
    loss.backward()
    assert 0 < x.grad.norm() < math.inf
    with pytest.raises(CLIPIQAError, match="use form='linear'"):
        CLIPIQALoss(form="nll", metric=loaded)


def test_auto_takes_what_errs_least_on_photos_it_was_not_fitted_to(table, fit):
    result = fit(table, fit_on="stages")
    errors = {name: found.rmse for name, found in result.cross_validation.items()}
    assert list(errors) == list(METHODS) and errors[result.head.method] < 0.8 * errors["affine"]
    again = fit(table, fit_on="stages")
    assert again.head.metadata == result.head.metadata  # a seed decides


def test_command(table, store, tmp_path, capsys):
    command = ["fit", str(table), "--backbone", "mini", "--features", str(store), "--device", "cpu", "--quiet"]
    command += ["--out", str(tmp_path / "mine.safetensors"), "--own-scale", "--range", "1", "5"]
    assert main(command) == 0
    printed = capsys.readouterr().out.strip().splitlines()
    assert printed[0] == "scores: fitted to 36 rated photos, on features"
    net = eval(printed[-1], {"pyiqa": pyiqa}).net
    assert net.clip.weights.backbone == "mini" and net.score_range == (1, 5)
    assert main(command) == 2 and "exists already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        (5, {"method": "ridge"}, r"'ridge' needs at least 6 rated photos; got 5"),
        (12, {"method": "rige"}, "method"),
        (12, {"fit_on": "stage"}, "fit_on"),
        (12, {"metric": CLIPIQA(backbone="mini", prompts=["sharpness", "noisiness"])}, "must have one pair of prompts"),
    ],
)
def test_bad_input(rows, options, message, table, fit):
    ours = read_score_table(table, val_fraction=0, needed=("train",))
    few = replace(ours, frame=ours.frame[:rows])
    with pytest.raises(CLIPIQAError, match=message):
        fit(few, **options)


def test_files_that_do_not_belong(table, fit, tmp_path):
    path = tmp_path / "head.safetensors"
    fit(table, method="ridge").save(path)
    tensors, metadata = load_file(path), read_metadata(path)
    for changes, named in (
        ({"backbone": "RN50"}, "RN50"),
        ({"weights_sha256": "0" * 64}, "weights of mini"),
        ({"format": "clipiqa-pyiqa opinion head 2"}, "head 2"),
        ({"method": "forest"}, "complete head"),
        ({"sha256": "0" * 64}, "checksum"),
    ):
        changed = {**metadata, **changes}
        changed["sha256"] = changes.get("sha256") or content_checksum(tensors, changed)
        save_file(tensors, tmp_path / "other.safetensors", changed)
        with pytest.raises(PromptError, match=named):
            CLIPIQA("clipiqa+", "mini", pretrained_model_path=tmp_path / "other.safetensors")


@pytest.mark.parametrize(
    "backbone", ["mini", *(pytest.param(name, marks=pytest.mark.long) for name in ("RN50", "ViT-B/32"))]
)
def test_stages_are_those_of_the_pass_that_makes_the_feature(request, backbone):
    options = {}
    if backbone != "mini":
        options = {"clip_weights": request.getfixturevalue("seeded_weights")(backbone), "quick_gelu": True}
    metric = CLIPIQA(backbone=backbone, **options).eval()
    x = torch.rand(2, 3, 96, 64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    both = metric.encode_stages(x)
    with torch.no_grad():
        features, single = metric.encode_image(x), torch.cat([metric.encode_stages(image[None]) for image in x])
        dim = features.shape[1]
        torch.testing.assert_close(both[:, :dim], features, atol=2e-6, rtol=0)  # a ViT's last block has other shapes
        torch.testing.assert_close(both, single, atol=1e-4, rtol=1e-4)
        if backbone == "RN50":
            trunk = metric.clip.image_tower(torch.device("cpu"), torch.float32).encoder.trunk
            mean, std = (torch.tensor(v).view(3, 1, 1) for v in (metric.clip.weights.mean, metric.clip.weights.std))
            last = trunk((x - mean) / std, plain=True).flatten(2)  # plain operations
            expected = torch.cat([last.mean(2), last.std(2, correction=0)], dim=1)
            torch.testing.assert_close(both[:, -4096:], expected, atol=1e-4, rtol=1e-4)
    both[:, dim:].sum().backward()
    assert x.grad.isfinite().all() and x.grad.abs().amax(dim=(1, 2, 3)).min() > 0
