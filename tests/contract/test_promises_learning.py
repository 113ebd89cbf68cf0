"""Promises of docs/training.md, maps.md and export.md: what is learned, resumed, drawn and exported."""

import json
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pandas
import pyiqa
import pytest
import torch
from photos import BUNDLED
from PIL import Image, ImageFilter
from repository import skip_without_export
from safetensors import safe_open
from safetensors.torch import load_file

from clipiqa_pyiqa import CLIPIQA, CLIPIQALoss, draw_maps, export_onnx, fit, quality_map, train

COMMON = "-b mini --device cpu -q"


def scores_of(file, photos):
    """A file's scores of photos of one size, and its network."""
    net = pyiqa.create_metric("clipiqa+", pretrained_model_path=str(file), device="cpu").net.eval()
    with torch.no_grad():
        return net(torch.stack([pixels_of(photo) for photo in photos]))[:, 0].tolist(), net


def pixels_of(photo):
    return torch.from_numpy(np.array(Image.open(photo).convert("RGB"))).permute(2, 0, 1) / 255


# clipiqa fit


@pytest.mark.parametrize("options, low, high, is_low", [
    ("--method affine", 0, 1, False),
    ("--method ridge --own-scale", 1, 5, False),
    ("--method ridge --fit-on stages --own-scale --lower-better", 1, 5, True),
])  # fmt: skip
def test_a_head_follows_the_ratings_on_the_asked_scale(clipiqa, sizes, store, options, low, high, is_low):
    clipiqa(f"fit {sizes} {COMMON} --features {store} --range 1 5 {options} --out head.safetensors", 0, out="judgement")
    frame = pandas.read_csv(sizes)
    found, net = scores_of("head.safetensors", frame["path"])
    assert net.lower_better is is_low and low - 1 < min(found) < max(found) < high + 1
    if "ridge" in options:
        assert np.corrcoef(found, frame["mos"])[0, 1] > 0.8
    with safe_open("head.safetensors", "pt") as file:
        assert file.metadata()["backbone"] == "mini"


def test_a_head_is_a_metric_of_commands_and_its_direction_is_known(clipiqa, sizes, store):
    clipiqa(f"fit {sizes} {COMMON} --features {store} --method ridge --lower-better --own-scale --out h.safetensors", 0)
    folder = sizes.parent
    clipiqa(f"score {folder} -m h.safetensors --device cpu --out s.csv", 0)
    rows = pandas.read_csv("s.csv")
    best = clipiqa("rank s.csv --best 1 --paths", 0).out.strip()
    assert rows.set_index("path")["h"].idxmin() == best
    clipiqa(f"fit {sizes} {COMMON} --out h.safetensors", 2, "h.safetensors")  # no file is replaced


def test_python_fits_as_the_command(clipiqa, sizes, store, metric):
    clipiqa(f"fit {sizes} {COMMON} --features {store} --method ridge --out command.safetensors", 0)
    fit(sizes, metric=metric, features=store, method="ridge", device="cpu").save("python.safetensors")
    one = load_file("command.safetensors")
    other = load_file("python.safetensors")
    assert one.keys() == other.keys() and all(torch.allclose(one[name], other[name], atol=1e-6) for name in one)


@pytest.mark.parametrize("options, said", [
    ("nowhere.csv", "nowhere.csv"), ("s.csv --columns path taste", "taste"), ("s.csv --range 5 1", "range"),
    ("few.csv", "3"),
])  # fmt: skip
def test_scores_that_cannot_be_learned_from_are_refused(clipiqa, sizes, options, said):
    shutil.copy(sizes, "s.csv")
    Path("few.csv").write_text("path,mos\n" + "\n".join(sizes.read_text().splitlines()[1:3]))
    clipiqa(f"fit {options} {COMMON} --out head.safetensors", 2, said)
    assert not Path("head.safetensors").exists()


# clipiqa train


def train_line(sizes, store, out, epochs=4):
    return (
        f"train {sizes} {COMMON} --features {store} --range 1 5 --batch-size 8 --seed 3 --epochs {epochs} --out {out}"
    )


def test_training_says_what_was_gained_and_writes_a_row_for_each_epoch(clipiqa, sizes, store):
    said = clipiqa(train_line(sizes, store, "run", 3), 0).out
    assert "judgement" in said
    assert {"best.safetensors", "last.safetensors", "log.csv", "state.pt"} <= {
        path.name for path in Path("run").iterdir()
    }
    log = pandas.read_csv("run/log.csv")
    assert log["epoch"].tolist() == [1, 2, 3] and log[["loss", "srocc", "plcc"]].notna().all(axis=None)
    with safe_open("run/best.safetensors", "pt") as file:
        assert file.metadata()["backbone"] == "mini"


def test_a_resumed_training_equals_one_that_was_not_interrupted(clipiqa, sizes, store, monkeypatch):
    clipiqa(train_line(sizes, store, "whole"), 0)
    made = []
    save = torch.save

    def stop_after_two(*args, **options):
        save(*args, **options)
        made.append(1)
        if len(made) == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", stop_after_two)
        clipiqa(train_line(sizes, store, "parts"), 130)
    clipiqa(f"{train_line(sizes, store, 'parts')} --resume", 0)
    for name in ("last.safetensors", "best.safetensors"):
        one = load_file(f"whole/{name}")
        other = load_file(f"parts/{name}")
        assert all(torch.equal(one[each], other[each]) for each in one)
    drop = re.compile("second|time")
    logs = [pandas.read_csv(f"{out}/log.csv") for out in ("whole", "parts")]
    one, other = (log[[name for name in log if not drop.search(name)]] for log in logs)
    pandas.testing.assert_frame_equal(one, other)
    clipiqa(train_line(sizes, store, "whole"), 2, "whole")  # a finished run is not replaced


def test_learned_prompts_are_read_by_commands_python_and_the_loss(clipiqa, sizes, store):
    train(sizes, "run", backbone="mini", epochs=1, batch_size=8, features=store, device="cpu")
    photo = pandas.read_csv(sizes)["path"][0]
    clipiqa(f"score {shlex.quote(photo)} --learned-prompts run/last.safetensors --device cpu --out s.csv", 0)
    (expected,), _ = scores_of("run/last.safetensors", [photo])
    assert pandas.read_csv("s.csv").iloc[0, 1] == pytest.approx(expected, abs=1e-5)
    loss = CLIPIQALoss(model_type="clipiqa+", pretrained_model_path="run/last.safetensors")
    with torch.no_grad():
        assert loss(pixels_of(photo)[None]).item() == pytest.approx(1 - expected, abs=1e-5)


# Maps


@pytest.fixture
def half(tmp_path):
    """A photo whose left half is blurred."""
    photo = Image.open(BUNDLED / "canyon-wren.jpg").convert("RGB").resize((384, 256))
    photo.paste(photo.crop((0, 0, 192, 256)).filter(ImageFilter.GaussianBlur(5)), (0, 0))
    photo.save(tmp_path / "half.png")
    return tmp_path / "half.png"


def test_a_map_shows_where_a_photo_is_blurred_and_its_file_has_the_pages_fields(clipiqa, half):
    clipiqa(f"map half.png {COMMON} --prompts sharpness quality --out maps --html", 0)
    with np.load("maps/half.npz") as file:
        assert list(file["questions"]) == ["sharpness", "quality"]
        assert file["score"].shape == (2,) and file["scores"].shape == file["places"].shape == (2, 8, 12)
        assert file["step"] == 32 and file["size"].tolist() == [256, 384]
        assert ((file["scores"] >= 0) & (file["scores"] <= 1)).all()
        sharp = file["scores"][0]
        assert sharp[:, :4].mean() < sharp[:, 8:].mean()
        assert json.loads(str(file["provenance"]))["backbone"] == "mini"
    assert Image.open("maps/half.png").size > (100, 100) and list(Path("maps").glob("*.html"))
    clipiqa(f"map half.png {COMMON} --out maps", 2, "maps")


def test_python_draws_the_same_map_and_the_smoothed_one_has_the_images_size(half, metric, tmp_path):
    pixels = pixels_of(half)[None]
    assert not draw_maps(metric, half, "sharpness", out=tmp_path / "maps", device="cpu").failed
    with torch.no_grad():
        places = metric.score_map(pixels, "sharpness")
        assert places.shape == (1, 1, 8, 12)
        assert torch.allclose(metric.score(metric.encode_map(pixels), "sharpness"), places, atol=1e-6)
        smoothed = quality_map(metric, pixels, "sharpness")
        assert quality_map(metric, pixels, "sharpness", upsample=True).shape == (1, 1, 256, 384)
        score = metric(pixels, prompts="sharpness").item()
    with np.load(tmp_path / "maps/half.npz") as file:
        assert np.allclose(file["places"], places[0], atol=1e-5)
        assert np.allclose(file["scores"], smoothed[0], atol=1e-5)
        assert file["score"].tolist() == pytest.approx([score], abs=1e-5)


def test_a_finer_map_has_more_places(clipiqa, half):
    clipiqa(f"map half.png {COMMON} --scale 2 --out maps", 0)
    with np.load("maps/half.npz") as file:
        assert file["scores"].shape == (1, 16, 24)


@pytest.mark.parametrize("side, places", [(32, 1), (63, 2), (64, 2), (95, 3), (97, 3), (384, 12)])
def test_places_along_a_side_are_those_of_the_page(metric, side, places):
    assert (side + 1) // 2 // 16 == places
    with torch.no_grad():
        assert metric.score_map(torch.rand(1, 3, 64, side)).shape[-1] == places


def test_a_photo_that_cannot_be_mapped_is_named_and_the_others_are_drawn(clipiqa, half):
    Path("bad.png").write_bytes(b"no")
    clipiqa(f"map half.png bad.png {COMMON} --out maps", 1, "bad.png")
    assert Path("maps/half.npz").is_file()


# Export


@pytest.mark.slow
def test_an_exported_file_gives_the_metrics_scores_and_maps(clipiqa, small_compact):
    skip_without_export()
    import onnxruntime

    options = f"-b mini --clip-weights {small_compact} --prompts quality sharpness --map"
    clipiqa(f"export model.onnx {options}", 0)
    clipiqa(f"export model.onnx {options}", 2, "model.onnx")  # no file is replaced
    session = onnxruntime.InferenceSession("model.onnx", providers=["CPUExecutionProvider"])
    metadata = session.get_modelmeta().custom_metadata_map
    assert json.loads(metadata["columns"]) == ["quality", "sharpness"]
    net = CLIPIQA(backbone="mini", clip_weights=small_compact).eval()
    for shape in [(1, 3, 33, 47), (3, 3, 64, 96)]:
        x = torch.rand(shape, generator=torch.Generator().manual_seed(0))
        scores, places = session.run(["scores", "map"], {"image": x.numpy()})
        with torch.no_grad():
            assert np.allclose(scores, net(x, prompts=["quality", "sharpness"], aggregate=None), atol=1e-4)
            assert np.allclose(places, net.score_map(x, ["quality", "sharpness"]), atol=1e-4)
    assert export_onnx(net, "python.onnx", ["quality"]).columns == ("quality",)
