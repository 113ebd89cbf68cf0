"""The pipeline: order, batches, failures and memory, with a cheap metric; and the real one at the end."""

import itertools
import os
import threading
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch
from assertions import refused
from metrics import Brightness
from photos import save_grey
from PIL import Image
from result_files import read_results

from clipiqa_pyiqa import OptionError, score_paths
from clipiqa_pyiqa.errors import Kind
from clipiqa_pyiqa.workbench.images.image import File
from clipiqa_pyiqa.workbench.results.score_files import read_scores
from clipiqa_pyiqa.workbench.scoring.circumstances import circumstances

DATA = Path(__file__).parents[2] / "data"
LANDSCAPE = (48, 32)
PORTRAIT = (32, 48)
SQUARE = (40, 40)


@pytest.fixture
def make(tmp_path):
    """Writes uniform images of the given sizes, each of its own grey level, and returns their paths."""

    def make(sizes):
        return [str(save_grey(tmp_path / f"{n:04}.png", n % 256, size)) for n, size in enumerate(sizes)]

    return make


# Order and batches


def test_rows_come_in_the_order_given_and_each_image_is_alone_on_a_processor(make):
    sizes = [LANDSCAPE, PORTRAIT, LANDSCAPE, SQUARE] * 8
    metric = Brightness()
    paths = make(sizes)
    rows = list(score_paths(metric, paths, batch_size=4, workers=3))
    assert [(row.path, (row.width, row.height)) for row in rows] == list(zip(paths, sizes, strict=True))
    assert np.allclose([row.scores[0] for row in rows], np.arange(32) / 255, atol=1e-6)  # fp32 means
    assert sorted(metric.batches) == sorted((1, 3, height, width) for width, height in sizes)


def test_decoding_happens_while_the_metric_works(make, monkeypatch):
    at_once = torch.get_num_threads()
    read_file = File.read
    numbers = itertools.count()
    is_ahead = threading.Event()

    def read(source):
        if next(numbers) == at_once:
            is_ahead.set()
        return read_file(source)

    class Waiting(Brightness):
        def encode_image(self, x):
            assert is_ahead.wait(60)
            return super().encode_image(x)

    monkeypatch.setattr(File, "read", read)
    rows = score_paths(Waiting(), make([SQUARE] * (at_once + 4)), workers=2)
    assert next(rows).kind is None
    rows.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("clipiqa-decode")]


class _NotFinite(Brightness):
    def score(self, features, questions=None):
        return super().score(features, questions) * torch.nan


@pytest.mark.parametrize(("precision", "has_hint"), [("fp32", False), ("fp16", True)])
def test_fp32_is_proposed_only_to_a_metric_in_another_precision(make, monkeypatch, precision, has_hint):
    monkeypatch.setattr(_NotFinite, "precision", precision, raising=False)
    (row,) = score_paths(_NotFinite(), make([SQUARE]), device="cpu")
    assert "is not finite" in row.error and ("try precision fp32" in row.error) == has_hint


def test_a_run_without_simplejpeg_names_the_other_decoders(monkeypatch):
    monkeypatch.setattr(
        "clipiqa_pyiqa.workbench.scoring.circumstances.find_spec",
        lambda name: None if name == "simplejpeg" else "pyiqa",
    )
    assert "simplejpeg" not in circumstances(torch.device("cpu"))["decoders"]


def test_damage_is_refused_or_kept_and_nothing_else(tmp_path):
    pytest.importorskip("simplejpeg")
    path = tmp_path / "hurt.jpg"
    Image.effect_noise((200, 200), 90).convert("RGB").save(path, quality=95)
    content = path.read_bytes()
    half = len(content) // 2
    path.write_bytes(content[:half] + bytes(400) + content[half + 400 :])
    (row,) = score_paths(Brightness(), path)
    assert row.kind is Kind.DAMAGED and "is a damaged JPEG with" in row.error
    run = score_paths(Brightness(), path, damaged="keep")
    assert next(run).scores and run.header.reading["damaged"] == "keep"


def test_images_that_are_no_photos_have_a_flag_in_their_row(make, csv):
    (black,) = make([SQUARE])
    list(score_paths(Brightness(), [*DATA.glob("*.jpg"), black], out=csv))
    assert read_scores(csv).flags == {black: "almost black"}


def test_rows_are_written_before_they_are_handed_out(make, csv):
    paths = make([SQUARE] * 5)
    journal = csv.with_name("s.csv.part.jsonl")
    run = score_paths(Brightness(), paths, out=csv)
    rows = []
    for _ in range(2):
        rows.append(next(run))
        assert read_results(journal)[1] == rows
    run.close()
    refused(score_paths, Brightness(), paths, out=csv)
    refused(read_scores, csv)
    score_paths(Brightness(), paths, out=csv, resume=True).close()  # before its first row, too
    again = score_paths(Brightness(), paths, out=csv, resume=True)
    assert (again.tally.unchanged, again.count) == (2, 3) and [row.path for row in again] == paths[2:]
    assert [row.path for row in read_results(csv)[1]] == paths
    refused(score_paths, Brightness(), paths, out=csv)


def test_limits_are_checked_at_once():
    for wrong in ({"max_side": 5}, {"huge": True}, {"damaged": "raise"}):
        with pytest.raises(OptionError):
            score_paths(Brightness(), [], **wrong)


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("CUDA out of memory."), RuntimeError("can't allocate memory: you tried")]
)
def test_an_image_that_does_not_fit_in_memory_fails_alone(make, error):
    class OutOfMemory(Brightness):
        def encode_image(self, x):
            if x.shape[-1] > 100:
                raise error
            return super().encode_image(x)

    rows = list(score_paths(OutOfMemory(), make([SQUARE, (200, 200), SQUARE])))
    assert [row.kind for row in rows] == [None, Kind.OUT_OF_MEMORY, None]
    assert "have large images shrunk" in rows[1].error and rows[1].width == 200


def test_a_row_says_how_its_image_was_turned_shrunk_and_converted(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "turned.jpg"
    Image.new("L", (80, 60)).save(path, exif=exif)
    row = next(score_paths(Brightness(), path, max_side=64))
    assert (row.width, row.height, row.scored_width, row.scored_height) == (60, 80, 48, 64)
    assert (row.exif_orientation, row.converted) == (6, "grey->rgb")


@pytest.mark.quick
def test_a_run_with_results_is_finished_or_says_that_it_was_dropped(tmp_path, caplog):
    for number in range(2):
        save_grey(tmp_path / f"p/{number}.png", 90)
    out = tmp_path / "s.csv"
    score_paths(Brightness(), tmp_path / "p", out=out)
    assert caplog.text.count("run()") == 1 and not out.exists()
    caplog.clear()
    score_paths(Brightness(), tmp_path / "p", out=out, overwrite=True).run()
    assert len(read_results(out)[1]) == 2
    with score_paths(Brightness(), tmp_path / "p", out=out, overwrite=True) as run:
        next(run)
    score_paths(Brightness(), tmp_path / "p")
    assert not caplog.text


def test_a_resumed_run_holds_the_pixels_of_few_images(make, csv):
    alive = weakref.WeakSet()

    class Seen(File):
        def load(self, reading):
            record = super().load(reading)
            alive.add(record)
            return record

    paths = make([SQUARE] * 40)
    for count in (1, 40):
        run = score_paths(Brightness(), map(Seen, paths[:count]), out=csv, resume=True, device="cpu", workers=1)
        assert all(len(alive) < 20 for _ in run)


def test_a_photo_that_was_replaced_by_one_of_equal_size_is_scored_again(tmp_path, csv):
    path = tmp_path / "photo.ppm"  # without compression
    for level in (51, 204):
        save_grey(path, level, SQUARE)
        os.utime(path, ns=(level, level))
        score_paths(Brightness(), path, out=csv, resume=True, device="cpu", workers=1).run()
        (row,) = read_results(csv)[1]
        assert row.scores == pytest.approx([level / 255])
