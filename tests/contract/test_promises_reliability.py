"""Promises of docs/reliability.md, choosing.md and scale.md: streams, limits, pages, pipelines, the plugin."""

import pickle
import tarfile
from pathlib import Path

import numpy as np
import pandas
import pyiqa
import pytest
import torch
from assertions import time_limit
from photos import photo_like, save_grey
from PIL import Image
from plain_metrics import Bright
from shard_makers import picture, samples, save_parquet, save_tar
from torchvision.transforms.functional import to_pil_image

import clipiqa_pyiqa
from clipiqa_pyiqa import CLIPIQA, ImageError, Scorer, score_images, score_paths

ENTROPY = "-m entropy --device cpu"


@pytest.fixture
def photos(tmp_path):
    for number in range(3):
        save_grey(tmp_path / f"photos/{number}.png", 60 * number + 30)
    return tmp_path / "photos"


# Exit code 0 means that everything was done


@pytest.mark.slow
@pytest.mark.parametrize("out, code", [("full", 2), ("left", 1)])
def test_a_table_that_nobody_gets_is_no_success(forked, photos, tmp_path, out, code):
    job = forked.run(f"score photos {ENTROPY}", tmp_path, out=out)
    assert job.code == code and "Traceback" not in job.err


# Malicious inputs take neither all memory nor all time


@pytest.mark.parametrize("line, said", [
    ("photos -c huge.yml", "huge.yml"),
    ("photos -c bomb.yml", "bomb.yml"),
    ("'shards/{000000000..999999999}.tar'", "1,000,000"),
    ("photos -b mini --memory 1kB", "memory"),
])  # fmt: skip
def test_what_would_take_everything_is_refused_in_a_sentence(clipiqa, photos, line, said):
    Path("huge.yml").write_text("prompts: [" + "quality, " * 1_000_000 + "quality]")
    levels = [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 12)]
    Path("bomb.yml").write_text("\n".join(["l0: &l0 [quality]", *levels, "prompts: *l11"]))
    with time_limit(60):
        ran = clipiqa(f"score {line} --device cpu")
    assert ran.code in (1, 2) and said in (ran.err + ran.out).lower()


def test_members_of_an_archive_cannot_leave_it(clipiqa, tmp_path):
    save_tar(tmp_path / "0.tar", {"../../out.png": picture(9), "good.png": picture(90), "link.png": None})
    clipiqa(f"score 0.tar {ENTROPY} --out s.csv", 1)
    rows = pandas.read_csv("s.csv").set_index("path")
    assert rows["entropy"].notna().to_dict()["0.tar::good.png"] and rows["entropy"].notna().sum() == 1
    assert not list(tmp_path.parent.glob("out.png"))


# Names cannot control a terminal or a page


def test_markup_in_names_is_text_on_pages(clipiqa, photos):
    (photos / "0.png").rename(photos / "<script>alert(1)<!--&\"'.png")
    clipiqa(f"score photos {ENTROPY} --out s.csv", 0)
    clipiqa("rank s.csv --page page", 0)
    assert "<script>alert" not in Path("page/ranking.html").read_text()
    clipiqa(f"compare -d photos {ENTROPY} --out out", 0)
    assert "<script>alert" not in Path("out/report.html").read_text()


# Archives and pipelines


def test_images_in_archives_have_the_scores_of_their_files(clipiqa, tmp_path):
    shown = {f"{number:04d}.png": grey for number, grey in enumerate((20, 120, 200))}
    save_tar(tmp_path / "0.tar", samples(shown.values()))
    save_parquet(tmp_path / "t.parquet", {"image": [picture(grey) for grey in shown.values()], "n": [1, 2, 3]})
    with tarfile.open("0.tar") as archive:
        archive.extractall("files", filter="data")
    clipiqa("score 0.tar t.parquet -b mini --device cpu --keep n --out s.parquet", 0)
    clipiqa("score files -b mini --device cpu --out files.parquet", 0)
    rows = pandas.read_parquet("s.parquet")
    of_files = pandas.read_parquet("files.parquet")["quality"]
    of_tar, of_parquet = rows["quality"].to_numpy().reshape(2, 3)
    assert np.allclose(of_tar, of_files, atol=1e-6)
    assert len(set(of_parquet.round(4))) == 3 and rows["n"].astype(int).tolist() == [0, 1, 2, 1, 2, 3]


def test_an_archive_that_changed_is_scored_again(clipiqa, tmp_path):
    save_tar(tmp_path / "0.tar", {"0.png": picture(20), "1.png": picture(90)})
    clipiqa("score 0.tar -b mini --device cpu --out s.csv", 0)
    before = pandas.read_csv("s.csv")["quality"]
    save_tar(tmp_path / "0.tar", {"0.png": picture(20, (64, 48)), "1.png": picture(90)})
    clipiqa("score 0.tar -b mini --device cpu --out s.csv --resume", 0)
    after = pandas.read_csv("s.csv")
    assert after["width"].tolist() == [64, 40] and after["quality"][1] == pytest.approx(before[1], abs=1e-6)


def test_images_in_memory_have_the_scores_of_their_files(metric, photos):
    files = sorted(photos.iterdir())
    expected = score_paths(metric, photos, device="cpu").frame()["quality"].tolist()
    for forms in (files, [file.read_bytes() for file in files], [np.array(Image.open(file)) for file in files]):
        assert score_images(metric, forms, device="cpu")["quality"].tolist() == pytest.approx(expected, abs=1e-6)


def test_one_bad_image_of_a_batch_is_a_row_with_its_error():
    found = score_images({"bright": Bright()}, [picture(51), b"none", picture(102)], device="cpu")
    assert list(found) == ["bright", "flag", "error"]
    assert found["bright"].tolist() == pytest.approx([0.2, np.nan, 0.4], abs=1e-6, nan_ok=True)
    assert found["error"].astype(bool).tolist() == [False, True, False]


def make():
    return CLIPIQA(backbone="mini").eval()


@pytest.mark.parametrize("batch", [
    {"bytes": [picture(51)] * 2},
    {"image": np.full((2, 40, 40, 3), 51, np.uint8)},
    pandas.DataFrame({"image": [picture(51)] * 2}),
    [picture(51)] * 2,
])  # fmt: skip
def test_a_scorer_of_pipelines_is_pickled_and_takes_their_batches(metric, batch):
    found = pickle.loads(pickle.dumps(Scorer(make, ["quality", "sharpness"], device="cpu")))(batch)
    expected = score_images(metric, [picture(51)], ["quality", "sharpness"], device="cpu")
    for name in ("quality", "sharpness"):
        assert np.allclose(found[name], expected[name][0], atol=1e-6) and len(found[name]) == 2
    assert {"flag", "error"} <= set(found)


# The plugin


def test_pyiqa_builds_ours():
    assert clipiqa_pyiqa.is_active()
    metric = pyiqa.create_metric("clipiqa", backbone="mini", device="cpu")
    assert type(metric.net) is CLIPIQA
    x = photo_like(64, 80, 2)
    with torch.no_grad():
        assert metric(x).shape == (2, 1) and ((metric(x) > 0) & (metric(x) < 1)).all()


def test_a_file_and_its_pixels_have_one_score(tmp_path):
    metric = pyiqa.create_metric("clipiqa", backbone="mini", device="cpu")
    to_pil_image(photo_like(64, 80)[0]).save(tmp_path / "0.png")
    pixels = (photo_like(64, 80) * 255).byte() / 255
    with torch.no_grad():
        assert metric(str(tmp_path / "0.png")).item() == pytest.approx(metric(pixels).item(), abs=1e-5)
    of_command = score_paths(metric, tmp_path / "0.png", device="cpu").frame()["quality"].iloc[0]
    assert of_command == pytest.approx(metric(pixels).item(), abs=1e-5)


def test_pixels_of_another_scale_are_refused_with_a_hint():
    with pytest.raises(ImageError, match="255"):
        CLIPIQA(backbone="mini")(photo_like(64, 80) * 255)


def test_a_photo_may_have_any_size_from_32_pixels(metric):
    for shape in [(32, 32), (33, 201), (97, 131), (300, 40)]:
        with torch.no_grad():
            assert 0 < metric(photo_like(*shape)).item() < 1
    with pytest.raises(ImageError):
        metric(photo_like(31, 64))


def test_half_precision_scores_are_close(metric):
    x = photo_like(64, 80, 2)
    for precision in ("bf16", "fp16"):
        with torch.no_grad():
            scores = CLIPIQA(backbone="mini", precision=precision).eval()(x)
            assert scores.dtype == torch.float32 and torch.allclose(scores, metric(x), atol=0.05)
