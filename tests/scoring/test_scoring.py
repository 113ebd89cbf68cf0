"""The pipeline: order, batches, failures and memory, with a cheap metric; and the real one at the end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from standin import Brightness

from clipiqa_pyiqa import CLIPIQA
from clipiqa_pyiqa.errors import CLIPIQAError, ImageError, Kind, OptionError
from clipiqa_pyiqa.images import batches
from clipiqa_pyiqa.images.reader import read_image
from clipiqa_pyiqa.images.source import FileSource
from clipiqa_pyiqa.ray import Scorer
from clipiqa_pyiqa.scoring.result_files import read_results
from clipiqa_pyiqa.scoring.score import score_paths
from clipiqa_pyiqa.scoring.score_files import read_any_scores
from clipiqa_pyiqa.scoring.shards.run import score_sources

DATA = Path(__file__).parents[1] / "data"
LANDSCAPE, PORTRAIT, SQUARE = (48, 32), (32, 48), (40, 40)


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., list[str]]:
    """Writes uniform images of the given sizes, each of its own grey level, and returns their paths."""

    def make(sizes: list[tuple[int, int]]) -> list[str]:
        paths = []
        for number, size in enumerate(sizes):
            paths.append(str(tmp_path / f"{number:04}.png"))
            Image.new("RGB", size, (number % 256,) * 3).save(paths[-1])
        return paths

    return make


def expected(paths: list[str]) -> list[float]:
    return [int(Path(path).stem) % 256 / 255 for path in paths]


def scores(rows: list[Any]) -> list[float]:
    return [row.scores[0] for row in rows]


class TestOrderAndBatches:
    def test_rows_come_in_the_order_given_and_each_image_is_alone_on_a_processor(self, make: Any) -> None:
        sizes, metric = [LANDSCAPE, PORTRAIT, LANDSCAPE, SQUARE] * 8, Brightness()
        paths = make(sizes)
        rows = list(score_paths(metric, paths, batch_size=4, workers=3))
        assert [row.path for row in rows] == paths and list(score_paths(metric, [])) == []
        assert scores(rows) == pytest.approx(expected(paths), abs=1e-6)  # fp32 means
        assert [(row.width, row.height) for row in rows] == sizes
        assert sorted(metric.batches) == sorted((1, 3, height, width) for width, height in sizes)

    def test_an_odd_image_does_not_wait_for_ever(self, make: Any) -> None:
        paths, read = make([SQUARE] + [LANDSCAPE] * 40), []

        class Monitored(FileSource):
            def read(self) -> bytes:
                read.append(self.name)
                return super().read()

        assert next(score_paths(Brightness(), map(Monitored, paths), batch_size=2, workers=1)).path == paths[0]
        assert len(read) <= batches.WAIT * 2 + 4  # eight batches of two, and what is decoded ahead

    def test_decoding_happens_while_the_metric_works(self, make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        read, read_file = [], FileSource.read
        monkeypatch.setattr(FileSource, "read", lambda source: read.append(1) or read_file(source))

        class Waiting(Brightness):
            def encode_image(self, x: torch.Tensor) -> torch.Tensor:
                deadline = time.monotonic() + 60  # only reached if nothing is read meanwhile
                while len(read) < min(20, len(self.batches) + 2) and time.monotonic() < deadline:
                    time.sleep(0.001)
                assert time.monotonic() < deadline
                return super().encode_image(x)

        rows = score_paths(Waiting(), make([SQUARE] * 20), workers=2)
        assert next(rows).kind is None
        rows.close()
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("clipiqa-decode")]

    @pytest.mark.parametrize("value", ["raise", None])
    def test_damage_is_refused_or_kept_and_nothing_else(self, tmp_path: Path, value: Any) -> None:
        pytest.importorskip("simplejpeg")
        path = tmp_path / "hurt.jpg"
        Image.effect_noise((200, 200), 90).convert("RGB").save(path, quality=95)
        content = bytearray(path.read_bytes())
        content[len(content) // 2 : len(content) // 2 + 400] = bytes(400)
        path.write_bytes(content)
        for call in (
            lambda: read_image(path, damaged=value),
            lambda: score_paths(Brightness(), path, damaged=value),
            lambda: score_sources(Brightness(), path, out=tmp_path / "out", damaged=value),
            lambda: Scorer(Brightness(), damaged=value),
        ):
            with pytest.raises(OptionError, match="damaged"):
                call()
        (row,) = score_paths(Brightness(), path)
        assert row.kind is Kind.DAMAGED and "is a damaged JPEG with" in row.error
        run = score_paths(Brightness(), path, damaged="keep")
        (row,) = run
        assert row.scores and run.header.provenance["damaged"] == "keep"


class TestFlag:
    def test_images_that_are_no_photos_have_a_flag_in_their_row(self, make: Any, tmp_path: Path) -> None:
        paths = [*sorted(map(str, DATA.glob("*.jpg"))), *make([SQUARE])]
        list(score_paths(Brightness(), paths, out=tmp_path / "scores.csv"))
        flags = [row.flag for row in read_results(tmp_path / "scores.csv")[1]]
        assert flags == [""] * (len(paths) - 1) + ["almost black"]
        assert read_any_scores(tmp_path / "scores.csv").flags == {paths[-1]: "almost black"}


class TestFile:
    def test_rows_are_written_before_they_are_handed_out(self, make: Any, tmp_path: Path) -> None:
        paths, out = make([SQUARE] * 5), tmp_path / "scores.csv"
        run, journal = score_paths(Brightness(), paths, batch_size=1, out=out), tmp_path / "scores.csv.part.jsonl"
        for number in range(1, 3):
            assert next(run) == read_results(journal)[1][-1] and len(read_results(journal)[1]) == number
        run.close()
        for call in (lambda: score_paths(Brightness(), paths, out=out), lambda: read_any_scores(out)):
            with pytest.raises(CLIPIQAError, match="not finished"):
                call()
        score_paths(Brightness(), paths, out=out, resume=True).close()  # before its first row, too
        again = score_paths(Brightness(), paths, batch_size=1, out=out, resume=True)
        assert (again.earlier.kept, len(again.names)) == (2, 3) and [row.path for row in again] == paths[2:]
        assert [row.path for row in read_results(out)[1]] == paths
        with pytest.raises(CLIPIQAError, match="exists already"):
            score_paths(Brightness(), paths, out=out)


class TestFailures:
    def test_a_score_that_is_not_finite_names_its_image(self, make: Any) -> None:
        class Overflowing(Brightness):
            def score(self, features: torch.Tensor, *_: Any) -> torch.Tensor:
                return torch.where(features > 1.5 / 255, torch.nan, features)

        rows = list(score_paths(Overflowing(), make([SQUARE] * 3)))
        assert [row.error for row in rows[:2]] == ["", ""] and rows[2].scores is None
        assert f"{rows[2].path!r} cannot be scored: its score is not finite (nan); try" in rows[2].error
        assert rows[2].width == 40

    def test_limits_are_checked_at_once(self) -> None:
        with pytest.raises(ImageError, match="max_side"):
            score_paths(Brightness(), [], max_side=5)
        with pytest.raises(OptionError, match="huge"):
            score_paths(Brightness(), [], huge=True)  # type: ignore[call-arg]


class OutOfMemory(Brightness):
    """Has memory for so many pixels at once."""

    def __init__(self, pixels: int, error: Exception) -> None:
        super().__init__()
        self.pixels, self.error = pixels, error

    def encode_image(self, x: torch.Tensor) -> torch.Tensor:
        if x.shape[0] * x.shape[2] * x.shape[3] > self.pixels:
            raise self.error
        return super().encode_image(x)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.cuda.OutOfMemoryError("CUDA out of memory."),
        RuntimeError("can't allocate memory: you tried"),
    ],
    ids=["python", "cuda", "cpu"],
)
def test_an_image_that_does_not_fit_in_memory_fails_alone(make: Any, error: Exception) -> None:
    rows = list(score_paths(OutOfMemory(100 * 100, error), make([SQUARE, (200, 200), SQUARE])))
    assert [bool(row.error) for row in rows] == [False, True, False]
    assert rows[1].kind is Kind.OUT_OF_MEMORY and "set max_side or max_pixels" in rows[1].error
    assert (rows[1].width, rows[1].scored_height) == (200, 200)


def test_a_row_says_how_its_image_was_turned_shrunk_and_converted(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    path = tmp_path / "turned.jpg"
    Image.new("L", (80, 60)).save(path, exif=exif)
    row = next(score_paths(Brightness(), [path], max_side=64))
    assert (row.width, row.height, row.scored_width, row.scored_height) == (60, 80, 48, 64)
    assert (row.exif_orientation, row.converted) == (6, "grey->rgb")


def test_files_score_like_pyiqa_scores_paths(compact: Path) -> None:
    import pyiqa

    options: dict[str, Any] = {"backbone": "mini", "clip_weights": compact}
    theirs = pyiqa.create_metric("clipiqa", device="cpu", **options)
    rows = list(score_paths(CLIPIQA(**options), sorted(map(str, DATA.glob("*.jpg")))))
    assert len(rows) == 2
    for row in rows:
        # the pixels' memory layout differs, and with it the order of summation
        assert row.scores == pytest.approx((theirs(row.path).item(),), abs=1e-6)


def test_scores_do_not_depend_on_the_number_of_threads(metric: CLIPIQA, tmp_path: Path) -> None:
    for number in range(6):
        Image.fromarray(np.random.default_rng(number).integers(0, 256, (60 + 30 * number, 250, 3), np.uint8)).save(
            tmp_path / f"{number}.png"
        )
    default, found = torch.get_num_threads(), []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        try:
            found.append([row.scores for row in score_paths(metric, tmp_path, "quality")])
        finally:
            torch.set_num_threads(default)
    assert found[0] == found[1] == found[2]
