"""Maps of photos: what the command leaves behind, what stands in it, and bad photos that cost only their picture."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from distortions import blurred
from PIL import Image

from clipiqa_pyiqa import CLIPIQA, CLIPIQAError, draw_maps
from clipiqa_pyiqa.cli import main
from clipiqa_pyiqa.experiments.demonstration import PHOTOS
from clipiqa_pyiqa.images.reader import read_image
from clipiqa_pyiqa.maps.page import map_figure, overlay
from clipiqa_pyiqa.maps.places import smoothed
from clipiqa_pyiqa.maps.results import PhotoMaps
from clipiqa_pyiqa.prompts.learned import PromptLearner

QUESTIONS = ["sharpness", ("Crisp photo.", "Hazy photo.")]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
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
def maps(metric: CLIPIQA, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[PhotoMaps, Path]:
    out = tmp_path_factory.mktemp("out") / "maps"
    return draw_maps(metric, photos, QUESTIONS, out=out, html=True, device="cpu"), out


def test_numbers_are_those_of_the_metric(metric: CLIPIQA, photos: Path, maps: tuple[PhotoMaps, Path]) -> None:
    found, out = maps
    assert [Path(one.path).name for one in found.maps] == ["a <b>&$x$.png", "half.png"]
    x = read_image(photos / "half.png").pixels[None].float() / 255
    with torch.no_grad():
        places, score = metric.score_map(x, QUESTIONS)[0], metric(x, QUESTIONS, aggregate=None)[0]
    with np.load(out / "half.npz") as file:
        kept = {key: file[key] for key in file.files}
    assert set(kept) == set(
        ["questions", "score", "scores", "places", "rows", "columns", "step", "size", "path", "provenance"]
    )
    assert kept["questions"].tolist() == ["sharpness", "Crisp photo.|Hazy photo."]
    np.testing.assert_allclose(kept["places"], places, atol=1e-6)
    np.testing.assert_allclose(kept["scores"], smoothed(places[None])[0], atol=1e-6)
    np.testing.assert_allclose(kept["score"], score, atol=1e-6)
    assert kept["rows"].tolist() == [16, 48, 80, 112] and kept["columns"].tolist() == list(range(16, 256, 32))
    assert kept["size"].tolist() == [144, 256] and kept["path"] == str(photos / "half.png")
    said = json.loads(str(kept["provenance"]))
    assert said["backbone"] == "mini" and said["map"] == "places of 32 px, each the mean of 3×3"
    asked = [record["questions"] for record in said["scores"].values()]
    assert asked == [[["Sharp photo.", "Blurry photo."]], [["Crisp photo.", "Hazy photo."]]]
    sharpness = found.maps[1].scores[0]
    assert sharpness[:, :3].max() < sharpness[:, 5:].min()  # the blurred half is told apart
    worst, tenth, share = found.maps[1].statistics[0]
    assert worst == sharpness.min() and worst <= tenth <= np.median(sharpness)
    assert share == pytest.approx((sharpness < 0.5).mean())


def test_bad_photos_are_named_and_cost_only_their_picture(photos: Path, maps: tuple[PhotoMaps, Path]) -> None:
    found, out = maps
    assert sorted(Path(path).name for path in found.failed) == ["broken.jpg", "small.png"]
    assert "too small" in found.failed[str(photos / "small.png")]
    assert sorted(path.name for path in out.iterdir()) == [
        *("a-b-x.npz", "a-b-x.png", "half.npz", "half.png", "maps.html")
    ]


def test_the_picture_shows_photo_map_and_scale(maps: tuple[PhotoMaps, Path]) -> None:
    """A panel for the photo and each question, with scores and words; nothing is read as mathematics."""
    found, out = maps
    figure = map_figure(found.maps[0])
    figure.draw_without_rendering()
    said = {text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text"))}
    first = found.maps[0]
    title = f"sharpness {first.score[0]:.2f}\n0: Blurry photo.  1: Sharp photo."
    assert {"a <b>&$x$.png", "70×101 px", title} <= said
    assert any(re.fullmatch(r"clipiqa, mini, weights bundled \w{8}, places of 32 px,.*", text) for text in said)
    panels = [axes for axes in figure.axes if axes.get_images()]
    assert len(panels) == 3
    with Image.open(out / "half.png") as picture:
        assert picture.width > 1000


def test_colours_lie_where_their_places_are(maps: tuple[PhotoMaps, Path]) -> None:
    """In the middle of a place of a grey photo there is its colour, mixed with the grey."""
    import matplotlib

    one = maps[0].maps[1]
    mixed = np.asarray(overlay(Image.new("RGB", (512, 288), (255, 255, 255)), one.scores[0], 2 * one.step)) / 255
    colour = np.array(matplotlib.colormaps["viridis"](float(one.scores[0, 1, 5]))[:3])
    np.testing.assert_allclose(mixed[96, 352], 0.38 + 0.62 * colour, atol=0.03)


def test_pictures_of_an_earlier_run_are_not_mapped(metric: CLIPIQA, photos: Path, tmp_path: Path) -> None:
    """A folder for results within that of the photos, and a photo that is named twice."""
    (tmp_path / "maps").mkdir()
    for name in ("half.png", "maps/half.png"):
        (tmp_path / name).write_bytes((photos / "half.png").read_bytes())
    given = [tmp_path, tmp_path / "half.png"]
    found = draw_maps(metric, given, out=tmp_path / "maps", overwrite=True, device="cpu")
    assert [one.path for one in found.maps] == [str(tmp_path / "half.png")]
    with pytest.raises(CLIPIQAError, match="inputs"):
        draw_maps(metric, tmp_path / "half.png", out=tmp_path, device="cpu")
    with pytest.raises(CLIPIQAError, match="map"):
        draw_maps(metric, tmp_path / "maps", out=tmp_path, device="cpu")


def test_learned_prompts_draw_maps(compact: Path, photos: Path, tmp_path: Path) -> None:
    plus = CLIPIQA("clipiqa+", backbone="mini", clip_weights=compact, pretrained=False).train()
    assert isinstance(plus.prompt_learner, PromptLearner)
    found = draw_maps(plus, photos / "half.png", None, device="cpu")
    (one,) = found.maps
    assert [question.name for question in one.questions] == ["clipiqa+"] and one.questions[0].low == "low"
    assert "learned" in found.provenance["scores"]["clipiqa+"]


@pytest.fixture
def clipiqa(capfd: pytest.CaptureFixture[str]) -> Callable[..., SimpleNamespace]:
    def run(*arguments: str | Path) -> SimpleNamespace:
        code = main(["map", *map(str, arguments)])
        out, err = capfd.readouterr()
        assert "Traceback" not in err
        return SimpleNamespace(code=code, out=out, err=err)

    return run


def test_the_command_writes_pictures_numbers_and_a_page(
    clipiqa: Callable[..., SimpleNamespace], photos: Path, tmp_path: Path
) -> None:
    out = tmp_path / "maps"
    options = ("-b", "mini", "--device", "cpu", "-q", "-o", out)
    done = clipiqa(
        photos / "h*.png", "missing.png", "-p", "sharpness", "pyiqa", *options, "--html", "--pictures", "svg"
    )
    assert done.code == 1 and "'missing.png' does not exist" in done.err
    assert [line.split()[1] for line in done.out.splitlines()[1:]] == ["sharpness", "pyiqa"]
    assert sorted(path.name for path in out.iterdir()) == ["half.npz", "half.svg", "maps.html"]
    again = clipiqa(photos / "half.png", *options)
    assert again.code == 2 and "half.npz' exists already: pass --overwrite" in again.err
    assert clipiqa(photos / "half.png", *options, "--overwrite", "--no-smooth").code == 0
    assert "3×3" not in str(np.load(out / "half.npz")["provenance"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--scale", "0.5"], "scale must be from 1 to 8; got 0.5"),
        (
            ["--pos-embedding", "fixed"],
            "got 'fixed', which crops images",
        ),
        (["-p", "sharp"], "unknown prompt pair 'sharp'"),
        (["--html"], "html needs a folder"),
        (["--learned-prompts", "clipiqa+", "-p", "quality"], "--learned-prompts excludes"),
    ],
)
def test_bad_options_are_refused(
    clipiqa: Callable[..., SimpleNamespace], photos: Path, arguments: list[str], said: str
) -> None:
    done = clipiqa(photos / "half.png", *arguments, "-b", "mini", "-q", "--device", "cpu")
    assert done.code == 2 and said in done.err and done.err.count("\n") == 1 and not done.out


def test_a_run_without_photos_is_refused(clipiqa: Callable[..., SimpleNamespace], tmp_path: Path, photos: Path) -> None:
    assert clipiqa(tmp_path / "no").code == 2
    done = clipiqa(photos / "broken.jpg", "-b", "mini", "-q", "-o", tmp_path / "maps", "--html")
    assert done.code == 1 and not done.out and not list((tmp_path / "maps").iterdir())
