"""Memory of decoding: shared in the order of the images, refused where it can never suffice; large images in parts."""

import random
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from clipiqa_pyiqa.cli import main
from clipiqa_pyiqa.errors import ImageError
from clipiqa_pyiqa.images import batches, memory, reader
from clipiqa_pyiqa.images.batches import prefetch
from clipiqa_pyiqa.images.memory import limit_memory
from clipiqa_pyiqa.images.reader import read_image

SIDE = 40
NEED = memory.DECODING * SIDE * SIDE
MINI = ("--backbone", "mini", "--device", "cpu")


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


@pytest.mark.parametrize(("images_at_once", "scoring"), [(1, 0), (3, 0), (3, NEED // 2), (1000, 0)])
def test_threads_share_it_in_order(photos, monkeypatch, images_at_once, scoring):
    """What scoring takes is left free, unless a single image needs that memory to be decoded."""
    limit_memory(int(NEED * images_at_once))
    rooms = []

    def read(path):
        time.sleep(random.uniform(0, 0.004))
        return read_image(path)

    class Watched(memory.Room):
        highest = 0

        def take(self, *args):
            rooms.append(self)
            taken = super().take(*args)
            self.highest = max(self.highest, self.used)
            return taken

    monkeypatch.setattr(batches, "Room", Watched)
    found = list(prefetch(read, photos, workers=4, scoring=scoring // SIDE**2))
    assert [item for item, _ in found] == photos
    assert all(isinstance(record, reader.ImageRecord) for _, record in found)
    # the image that is handed out next does not wait
    assert 0 < rooms[0].highest <= max(NEED, NEED * images_at_once - scoring) + NEED and rooms[0].used == 0


def test_failures_and_pairs_do_not_block(photos, tmp_path):
    """Items with a file that cannot be read, and items of two pictures, with memory for one picture."""
    limit_memory(NEED)
    (tmp_path / "bad.png").write_bytes(Path(photos[0]).read_bytes()[:200])
    bad = str(tmp_path / "bad.png")
    mixed = [photos[0], bad, "missing.png", *photos[1:4], bad, photos[5]]
    found = [isinstance(image, ImageError) for _, image in prefetch(read_image, mixed, workers=4)]
    assert found == [False, True, True, False, False, False, True, False]
    pairs = zip(photos, reversed(photos), strict=True)
    read = list(prefetch(lambda pair: [read_image(path) for path in pair][1], pairs, workers=4))
    assert [record.path for _, record in read] == photos[::-1]


def test_leaving_early_ends_the_threads(photos):
    limit_memory(NEED)
    images = prefetch(read_image, photos, workers=4)
    next(images)
    closing = threading.Thread(target=images.close)
    closing.start()
    closing.join(10)
    assert not closing.is_alive()


def test_what_needs_more_than_there_is_is_refused(photos):
    limit_memory(NEED - 1)
    with pytest.raises(ImageError, match="40×40"):
        read_image(photos[0])


def test_what_scoring_takes_counts_before_anything_is_decoded(photos, tmp_path, monkeypatch):
    out = tmp_path / "large.png"
    Image.new("1", (2000, 2000)).save(out)
    limit_memory(60_000_000)
    ((_, shrunk),) = prefetch(lambda path: read_image(path, max_side=500), [str(out)], scoring=60)
    assert isinstance(shrunk, reader.ImageRecord) and shrunk.size == (500, 500)
    monkeypatch.setattr(Image.Image, "load", lambda *_: pytest.fail("it was decoded"))
    ((_, error),) = prefetch(read_image, [str(out)], scoring=60)
    assert isinstance(error, ImageError) and "2000×2000" in str(error)


def test_a_small_file_cannot_ask_for_any_size(tmp_path, capsys, monkeypatch):
    """By --scale or --scales."""
    path = str(tmp_path / "photo.png")
    Image.new("1", (4000, 3000)).save(path)
    monkeypatch.setattr(memory, "half_of_memory", lambda: 16_000_000_000)
    monkeypatch.setattr(Image.Image, "resize", lambda *_, **__: pytest.fail("it was enlarged"))
    assert main(["map", path, "--scale", "4", *MINI]) == 1
    assert "about 20.0 GB to score" in capsys.readouterr().err
    assert main(["sweep", path, "--scales", "8", *MINI]) == 2
    assert "about 72.2 GB to score" in capsys.readouterr().err
    assert main(["sweep", path, "--scales", "40", *MINI]) == 2
    assert "scales must be positive factors up to 8" in capsys.readouterr().err


def test_the_option(photos, capsys, monkeypatch):
    from standin import Brightness

    from clipiqa_pyiqa.cli.options import model

    limits = []
    monkeypatch.setattr(model, "build_metric", lambda *_: limits.append(memory.memory_limit()) or Brightness())
    main(["score", "--format", "csv", *photos, "--memory", "500M"])
    assert limits == [500_000_000]
    for wrong in ("", "x", "-1G", "1e400G", "5"):
        try:
            assert main(["score", *photos, f"--memory={wrong}"]) == 2
        except SystemExit as end:  # argparse
            assert end.code == 2
        assert "such as 2G" in capsys.readouterr().err


def pictures():
    noise = np.random.default_rng(0).integers(0, 256, (97, 61, 4), dtype=np.uint8)
    rgba = Image.fromarray(noise)
    yield from ((mode, rgba.convert(mode)) for mode in ("RGB", "RGBA", "LA", "CMYK"))
    see_through = rgba.convert("RGB").quantize(16)
    see_through.info["transparency"] = 3
    yield "P with transparency", see_through
    yield "I;16", Image.fromarray(noise[..., :2].astype(np.uint16)[..., 0] * 257)


@pytest.mark.parametrize(
    ("kind", "picture"), list(pictures()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_large_images_are_converted_in_parts(kind, picture, tmp_path, monkeypatch):
    path = tmp_path / ("a.tif" if kind == "CMYK" else "a.png")
    picture.save(path)
    whole = read_image(path)
    monkeypatch.setattr(reader, "STRIP", 61 * 10 + 3)
    parts = read_image(path)
    assert torch.equal(whole.pixels, parts.pixels) and whole.converted == parts.converted


COMMANDS = {
    "score": ["score", "low", *MINI],
    "rank --page": ["rank", "scores.csv", "--columns", "image", "mos", "--page", "page"],
    "sweep": ["sweep", "low", *MINI],
    "pairs": ["pairs", "low", "high", *MINI],
    "compare": ["compare", "-m", "entropy", "-d", "low", "--bootstrap", "0"],
    "table": ["table", "--methods", "a=low", "-m", "entropy"],
    "fit": ["fit", "scores.csv", "--method", "affine", "--out", "head.safetensors", "--features", "store", *MINI],
}


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """Five small PNGs, black, of 4,000 × 4,000 pixels and more."""
    folder = tmp_path_factory.mktemp("large")
    (folder / "low").mkdir()
    for number in range(5):
        Image.new("1", (4000, 4000 + number)).save(folder / f"low/{number}.png")
    shutil.copytree(folder / "low", folder / "high")
    rows = [
        f"low/{number}.png,{number},{split}\n" for number, split in enumerate(("train", "train", "train", "val", "val"))
    ]
    (folder / "scores.csv").write_text("image,mos,split\n" + "".join(rows))
    return folder


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_that_decodes_is_bounded(
    command,
    large,
    monkeypatch,
    capsys,
    caplog,
):
    """What would take 144 MB is not decoded where 100 MB are allowed, and the command does not end with 0."""
    monkeypatch.chdir(large)
    Image.init()  # which draws a picture
    monkeypatch.setattr(Image.Image, "load", lambda *_: pytest.fail("it was decoded"))
    code = main([*COMMANDS[command], "--memory", "100M"])
    if command == "rank --page":  # a photo without a thumbnail is shown by its name
        assert code == 0 and not list(Path("page").rglob("*.jpg"))
        return
    assert code in (1, 2)
    assert "the limit of memory is" in capsys.readouterr().err + caplog.text


PEAK = """
import resource, sys
from clipiqa_pyiqa.images.batches import prefetch
from clipiqa_pyiqa.images.memory import limit_memory
from clipiqa_pyiqa.images.reader import read_image
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
    limit, picture = 160_000_000, 3 * 4000 * 4000
    command = [sys.executable, "-c", PEAK, str(limit), *[str(path)] * 6]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) < limit + 2 * picture  # the receiver's, and a little of everything
