"""Memory of decoding: shared in the order of the images, refused where it can never suffice; large images in parts."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from assertions import refused
from PIL import Image

from clipiqa_pyiqa import ImageError
from clipiqa_pyiqa.workbench.images import memory_limit, reading_memory, rgb
from clipiqa_pyiqa.workbench.images.image import read_image
from clipiqa_pyiqa.workbench.images.lack_of_memory import is_out_of_memory
from clipiqa_pyiqa.workbench.images.memory_limit import limit_memory
from clipiqa_pyiqa.workbench.images.prefetch import prefetch

SIDE = 40
NEED = reading_memory.DECODING * SIDE * SIDE
MINI = "-b mini --device cpu"


@pytest.fixture(autouse=True)
def usual_limit():
    yield
    limit_memory(None)


@pytest.fixture
def photos(tmp_path):
    paths = [str(tmp_path / f"{number:02}.png") for number in range(24)]
    for number, path in enumerate(paths):
        Image.effect_noise((SIDE, SIDE), 20 + number).convert("RGB").save(path)
    return paths


@pytest.mark.parametrize("most, scoring", [(1, 0), (3, 0), (3, NEED // 2)])
def test_threads_share_it_in_order(photos, most, scoring):
    """What scoring takes is left free, unless a single image needs that memory to be decoded."""
    limit_memory(NEED * most)
    read = []
    waiting = []

    def count(path):
        read_image(path)
        read.append(path)
        return path

    for number, (path, image) in enumerate(prefetch(count, photos, workers=4, bytes_per_pixel=scoring // SIDE**2)):
        time.sleep(0.01)
        assert path == image == photos[number]
        waiting.append(len(read) - number)
    # the image that is handed out next does not wait
    most_decoded = most if scoring == 0 else most - 1
    assert 1 <= max(waiting) <= most_decoded + 1


def test_failures_do_not_block(photos, tmp_path):
    limit_memory(NEED)
    bad = tmp_path / "bad.png"
    bad.write_bytes(Path(photos[0]).read_bytes()[:200])
    mixed = [photos[0], bad, "missing.png", *photos[1:4], bad, photos[5]]
    are_errors = [isinstance(image, ImageError) for _, image in prefetch(read_image, mixed, workers=4)]
    assert are_errors == [False, True, True, False, False, False, True, False]


def test_what_needs_more_than_there_is_is_refused(photos):
    limit_memory(NEED - 1)
    refused(read_image, photos[0])


def test_what_scoring_takes_counts_before_anything_is_decoded(tmp_path, monkeypatch):
    path = tmp_path / "large.png"
    Image.new("1", (2000, 2000)).save(path)
    limit_memory(60_000_000)
    ((_, shrunk),) = prefetch(lambda path: read_image(path, max_side=500), [path], bytes_per_pixel=60)
    assert shrunk.size == (500, 500)
    monkeypatch.setattr(Image.Image, "load", lambda *_: pytest.fail("it was decoded"))
    ((_, error),) = prefetch(read_image, [path], bytes_per_pixel=60)
    assert isinstance(error, ImageError) and "2000×2000" in str(error)


def test_a_small_file_cannot_ask_for_any_size(tmp_path, clipiqa, monkeypatch):
    for command, needed in [("map --scale 4", "20 GB"), ("sweep --scales 8 --changes contrast --steps 3", "72.2 GB")]:
        Image.new("1", (4000, 3000)).save(tmp_path / "photo.png")
        monkeypatch.setattr(memory_limit, "half_of_memory", lambda: 16_000_000_000)
        for enlarger, name in ((Image.Image, "resize"), (torch.nn.functional, "interpolate")):  # sweep's and map's
            monkeypatch.setattr(enlarger, name, lambda *_, **__: pytest.fail("it was enlarged"))
        ran = clipiqa(f"{command} {MINI} photo.png")
        assert ran.code in (1, 2) and needed in ran.err


def test_small_limits_are_told_in_digits_that_count(tmp_path, clipiqa):
    Image.new("L", (1000, 1000)).save(tmp_path / "photo.png")
    ran = clipiqa(f"score photo.png --memory=2M {MINI}")
    assert "the limit of memory is 0.002 GB" in ran.err


def test_what_onednn_says_without_memory_is_known():
    assert is_out_of_memory(RuntimeError("could not create a primitive"))


def test_a_wrong_size_is_refused(photos, clipiqa):
    for wrong in ["", "-1G", "1e400G", "5"]:
        clipiqa(f"score 00.png --memory={wrong} {MINI}", 2, "2G")


NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (97, 61, 4), np.uint8))
PICTURES = {mode: NOISE.convert(mode) for mode in ("RGB", "RGBA", "LA", "CMYK")}
PICTURES["P"] = NOISE.convert("RGB").quantize(16)
PICTURES["P"].info["transparency"] = 3
PICTURES["I;16"] = Image.fromarray(np.arange(97 * 61, dtype=np.uint16).reshape(97, 61) * 11)


def test_large_images_are_converted_in_parts(tmp_path, monkeypatch):
    for mode in PICTURES:
        path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
        PICTURES[mode].save(path)
        whole = read_image(path)
        with monkeypatch.context() as patch:
            patch.setattr(rgb, "STRIP", 61 * 10 + 3)
            parts = read_image(path)
        assert torch.equal(whole.pixels, parts.pixels) and whole.converted == parts.converted


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Five small PNGs, black, of 4,000 × 4,000 pixels and more."""
    folder = tmp_path_factory.mktemp("large")
    (folder / "low").mkdir()
    for number in range(5):
        Image.new("1", (4000, 4000 + number)).save(folder / f"low/{number}.png")
    shutil.copytree(folder / "low", folder / "high")
    rows = [f"low/{number}.png,{number},{'val' if number > 2 else 'train'}" for number in range(5)]
    (folder / "scores.csv").write_text("\n".join(["image,mos,split", *rows]))
    return folder


@pytest.mark.parametrize(
    "command",
    [
        f"score low {MINI}",
        "rank scores.csv --columns image mos --page page",
        f"sweep low {MINI}",
        f"pairs low high {MINI}",
        "compare -m entropy -d low --bootstrap 0",
        "table --methods a=low -m entropy",
        f"fit scores.csv --method affine --out head.safetensors --features store {MINI}",
    ],
)
def test_every_command_that_decodes_is_bounded(command, clipiqa, large, monkeypatch, caplog):
    """What would take 144 MB is not decoded where 100 MB are allowed, and the command does not end with 0."""
    monkeypatch.chdir(large)
    Image.init()  # which draws a picture
    monkeypatch.setattr(Image.Image, "load", lambda *_: pytest.fail("it was decoded"))
    ran = clipiqa(f"{command} --memory 100M")
    if command.startswith("rank"):  # a photo without a thumbnail is shown by its name
        assert ran.code == 1 and not list(Path("page").rglob("*.jpg"))
        return
    assert ran.code in (1, 2) and "the limit of memory is" in ran.err + caplog.text


PEAK = """
import resource, sys
from clipiqa_pyiqa.workbench.images.prefetch import prefetch
from clipiqa_pyiqa.workbench.images.memory_limit import limit_memory
from clipiqa_pyiqa.workbench.images.image import read_image
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
limit_memory(int(sys.argv[1]))
before = peak()
for path, image in prefetch(read_image, sys.argv[2:], workers=4):
    assert image.shape == (3, 4000, 4000), image
    del image
print(peak() - before)
"""


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="peaks of memory are told in another unit elsewhere")
def test_the_process_stays_within_it(tmp_path):
    """Also what the C library would keep for itself of pictures that are gone."""
    path = tmp_path / "large.png"
    Image.new("RGBA", (4000, 4000), (9, 9, 9, 99)).save(path)
    limit = 160_000_000
    picture = 3 * 4000 * 4000
    six_times = [str(path)] * 6
    command = [sys.executable, "-c", PEAK, str(limit), *six_times]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) < limit + 2 * picture  # the receiver's, and a little of everything
