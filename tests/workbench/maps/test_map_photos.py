"""Maps of photos: what the command leaves behind, what stands in it, and bad photos that cost only their picture."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from assertions import refused
from photos import blurred
from PIL import Image
from shard_makers import samples, save_tar

from clipiqa_pyiqa import CLIPIQA, draw_maps
from clipiqa_pyiqa.workbench.experiments.demonstration import PHOTOS
from clipiqa_pyiqa.workbench.images.image import read_image
from clipiqa_pyiqa.workbench.maps.pictures import map_figure
from clipiqa_pyiqa.workbench.maps.places import smoothed

QUESTIONS = ["sharpness", ("Crisp photo.", "Hazy photo.")]


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A photo whose left half is blurred, one of an odd name and size, one that is none, and one that is too small."""
    folder = tmp_path_factory.mktemp("photos")
    photo = Image.open(PHOTOS / "oakland-zoo-otters.jpg").convert("RGB").resize((256, 144))
    photo.crop((0, 0, 70, 101)).save(folder / "a <b>&$x$.png")
    photo.paste(blurred(photo, 3).crop((0, 0, 128, 144)), (0, 0))
    photo.save(folder / "half.png")
    (folder / "broken.jpg").write_bytes(b"no image")
    Image.new("RGB", (31, 60)).save(folder / "small.png")
    return folder


@pytest.fixture(scope="module")
def maps(metric, photos, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "maps"
    return draw_maps(metric, photos, QUESTIONS, out=out, html=True, device="cpu"), out


def test_numbers_are_those_of_the_metric(metric, photos, maps):
    photo_maps, out = maps
    assert [Path(photo_map.path).name for photo_map in photo_maps.maps] == ["a <b>&$x$.png", "half.png"]
    x = read_image(photos / "half.png").pixels[None].float() / 255
    with torch.no_grad():
        places = metric.score_map(x, QUESTIONS)[0]
        score = metric(x, QUESTIONS, aggregate=None)[0]
    with np.load(out / "half.npz") as file:
        arrays = dict(file)
    np.testing.assert_allclose(arrays.pop("places"), places, atol=1e-6)
    np.testing.assert_allclose(arrays.pop("scores"), smoothed(places[None])[0], atol=1e-6)
    np.testing.assert_allclose(arrays.pop("score"), score, atol=1e-6)
    provenance = json.loads(str(arrays.pop("provenance")))
    assert provenance["backbone"] == "mini"
    assert provenance["map"] == "places of 32 px, each the mean of 3×3"
    assert {name: array.tolist() for name, array in arrays.items()} == {
        "questions": ["sharpness", "Crisp photo.|Hazy photo."],
        "step": 32,
        "size": [144, 256],
        "path": str(photos / "half.png"),
    }


def test_bad_photos_are_named_and_cost_only_their_picture(photos, maps):
    photo_maps, out = maps
    assert sorted(Path(path).name for path in photo_maps.failed) == ["broken.jpg", "small.png"]
    assert sorted(path.name for path in out.iterdir()) == [
        *("a-b-x.npz", "a-b-x.png", "half.npz", "half.png", "maps.html")
    ]


def test_the_picture_shows_photo_map_and_scale(maps):
    """A panel for the photo and each question, with scores and words; nothing is read as mathematics."""
    photo_maps, _ = maps
    first = photo_maps.maps[0]
    figure = map_figure(first)
    figure.draw_without_rendering()
    texts = {text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text"))}
    title = f"sharpness {first.photo_scores[0]:.2f}\n0: Blurry photo.\n1: Sharp photo."
    assert {"a <b>&$x$.png", "70×101 px", title} <= texts
    assert len(figure.images) == 4


def test_a_photo_that_is_named_twice_is_mapped_once_and_not_replaced(metric, photos, tmp_path):
    shutil.copy(photos / "half.png", tmp_path)
    photo_maps = draw_maps(metric, [tmp_path, tmp_path / "half.png"], device="cpu")
    assert [photo_map.path for photo_map in photo_maps.maps] == [str(tmp_path / "half.png")]
    refused(draw_maps, metric, tmp_path / "half.png", out=tmp_path, device="cpu")


def test_learned_prompts_draw_maps(photos):
    plus = CLIPIQA("clipiqa+", backbone="mini", pretrained=False).train()
    photo_maps = draw_maps(plus, photos / "half.png", None, device="cpu")
    (photo_map,) = photo_maps.maps
    (question,) = photo_map.questions
    assert (question.name, question.low) == ("clipiqa+", "low")
    assert "learned" in photo_maps.provenance["scores"]["clipiqa+"]


MAP = "map -b mini --device cpu -q"


def test_the_command_writes_pictures_numbers_and_a_page(clipiqa, photos, tmp_path):
    options = "-p sharpness pyiqa -o maps --html --pictures svg"
    table = clipiqa(f"{MAP} {photos}/h*.png missing.png {options}", 1, "missing.png").out
    assert [line.split()[1] for line in table.splitlines()[1:]] == ["sharpness", "pyiqa"]
    assert sorted(os.listdir("maps")) == ["half.npz", "half.svg", "maps.html"]
    again = f"{MAP} {photos}/half.png -o maps"
    clipiqa(again, 2, "--overwrite")
    clipiqa(f"{again} --overwrite --no-smooth", 0)
    assert "3×3" not in str(np.load("maps/half.npz")["provenance"])
    shutil.copy(photos / "half.png", tmp_path / os.fsdecode(b"caf\xe9.png"))
    assert r"caf\xe9.png" in clipiqa(f"{MAP} caf*.png").out
    clipiqa(f"{MAP} caf*.png -o maps --overwrite", 0, "maps of an earlier run: 'half'")


def test_bad_options_are_refused(clipiqa, photos):
    for arguments, message in {
        "--pos-embedding fixed": "'fixed'",
        "--html": "html",
        "--scale 0.5": "--scale must",
        "--scale 9": "--scale must",
        "--learned-prompts clipiqa+ -p quality": "--learned-prompts",
    }.items():
        printed = clipiqa(f"{MAP} {photos}/half.png {arguments}", 2, message)
        assert printed.err.count("\n") == 1 and not printed.out
    clipiqa(f"{MAP} no", 2)


def test_a_damaged_photo_that_is_kept_has_a_map_and_a_picture(metric, tmp_path):
    photo = Image.open(PHOTOS / "oakland-zoo-otters.jpg").convert("RGB").resize((256, 144))
    photo.save(tmp_path / "hurt.jpg", quality=95)
    content = (tmp_path / "hurt.jpg").read_bytes()
    middle = len(content) // 2
    (tmp_path / "hurt.jpg").write_bytes(content[:middle] + content[middle + 99 :])
    photo_maps = draw_maps(
        metric, tmp_path / "hurt.jpg", QUESTIONS, out=tmp_path / "maps", html=True, damaged="keep", device="cpu"
    )
    assert len(photo_maps.maps) == 1
    assert sorted(os.listdir(tmp_path / "maps")) == ["hurt.npz", "hurt.png", "maps.html"]


def test_shards_are_refused_before_the_metric_is_built(photos, tmp_path):
    shard = save_tar(tmp_path / "t.tar", samples([9, 80]))
    message = refused(draw_maps, lambda: pytest.fail("built"), [photos / "half.png", shard], out=tmp_path / "maps")
    assert "t.tar' is a shard" in message and not (tmp_path / "maps").exists()


def test_without_any_map_nothing_is_written(clipiqa, photos):
    printed = clipiqa(f"{MAP} {photos}/broken.jpg -o maps --html", 1)
    assert not printed.out and not os.listdir("maps")


def test_the_folder_may_begin_with_a_tilde(clipiqa, photos, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    draw = f"{MAP} {photos}/half.png -o ~/maps --overwrite"
    clipiqa(draw, 0)
    assert sorted(os.listdir(tmp_path / "maps")) == ["half.npz", "half.png"]
    (tmp_path / "maps/old.npz").touch()
    clipiqa(draw, 0, "maps of an earlier run: 'old'")
