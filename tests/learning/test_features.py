"""The feature store: encoded once, never stale, whole after a kill, and shared between processes."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import torch
from metrics import DIM, FakeMetric
from photos import BUNDLED, distorted_photos
from torch import Tensor

from clipiqa_pyiqa import ImageError
from clipiqa_pyiqa.errors import OutputError
from clipiqa_pyiqa.files.journal import JournalFolder
from clipiqa_pyiqa.learning.feature_store import FeatureError, FeatureStore
from clipiqa_pyiqa.learning.views import WHOLE, View

VIEWS = (WHOLE, View(flip=True), View((32, 0.5, 0.99)))


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return distorted_photos(tmp_path_factory.mktemp("photos"), sorted(BUNDLED.glob("*.jpg"))[:1], (48, 40))


def filled(metric: FakeMetric, folder: Path, paths: list[Path]) -> Tensor:
    return FeatureStore(metric, folder).features(paths, [VIEWS] * len(paths))


def test_each_image_is_encoded_once(photos, tmp_path):
    metric = FakeMetric()
    first = filled(metric, tmp_path, photos)
    assert metric.encoded == len(photos) * len(VIEWS)
    again = filled(metric, tmp_path, photos[::-1])
    assert metric.encoded == len(photos) * len(VIEWS)
    assert torch.equal(first, again.flip(0))
    assert first.shape == (len(photos), len(VIEWS), DIM)
    assert first.norm(dim=-1) == pytest.approx(1, abs=1e-6)


def test_features_are_those_of_the_view(photos, tmp_path):
    from clipiqa_pyiqa.images.reader import read_image

    metric = FakeMetric()
    pixels = read_image(photos[0]).pixels
    crop = pixels[:, int(0.5 * 9) : int(0.5 * 9) + 32, int(0.99 * 17) : int(0.99 * 17) + 32]  # 40 − 32 + 1, 48 − 32 + 1
    expected = [metric.encode_image(view[None] / 255)[0] for view in (pixels, pixels.flip(2), crop)]
    torch.testing.assert_close(filled(metric, tmp_path, photos[:1])[0], torch.stack(expected), atol=1e-6, rtol=0)


@pytest.mark.parametrize("changed", ["backbone", "weights_sha256", "quick_gelu", "pos_embedding", "precision"])
def test_another_setup_finds_nothing(photos, tmp_path, changed):
    filled(FakeMetric(), tmp_path, photos[:1])
    other = FakeMetric(**{changed: "other"})
    filled(other, tmp_path, photos[:1])
    assert other.encoded == len(VIEWS)


def test_prompts_do_not_matter(photos, tmp_path):
    filled(FakeMetric(), tmp_path, photos[:1])
    other = FakeMetric(prompts="others")
    filled(other, tmp_path, photos[:1])
    assert other.encoded == 0


def test_file_that_changes_is_encoded_again_and_a_copy_is_not(photos, tmp_path):
    image = tmp_path / "image.png"
    shutil.copy(photos[0], image)
    metric = FakeMetric()
    first = filled(metric, tmp_path / "s", [image])
    shutil.copy(photos[0], tmp_path / "copy.png")
    assert torch.equal(filled(metric, tmp_path / "s", [tmp_path / "copy.png"]), first)
    assert metric.encoded == len(VIEWS)
    shutil.copy(photos[1], image)
    assert not torch.equal(filled(metric, tmp_path / "s", [image]), first)
    assert metric.encoded == 2 * len(VIEWS)


def test_file_that_is_replaced_meanwhile_poisons_nothing(photos, tmp_path, monkeypatch):
    image, metric = tmp_path / "image.png", FakeMetric()
    shutil.copy(photos[0], image)
    filled(FakeMetric(), tmp_path / "other", [image])
    known = image.stat()
    image.write_bytes(photos[1].read_bytes().ljust(known.st_size, b"\0")[: known.st_size])
    os.utime(image, ns=(known.st_atime_ns, known.st_mtime_ns))  # of the same size and time: even the memo believes it
    with pytest.raises(FeatureError, match=r"image\.png.*was changed while.*run this again"):
        filled(metric, tmp_path / "s", [image])
    assert metric.encoded == 0
    expected = filled(metric, tmp_path / "new", [photos[1]])
    assert torch.equal(filled(metric, tmp_path / "s", [image]), expected)


def test_an_image_that_does_not_fit_in_memory_is_named(photos, tmp_path):
    class Small(FakeMetric):
        def encode_image(self, x: Tensor) -> Tensor:
            raise MemoryError

    with pytest.raises(ImageError, match=r"png' cannot be encoded: it does not fit in memory"):
        filled(Small(), tmp_path, photos[:1])


def test_size_is_said_beforehand(photos, tmp_path):
    store, said = FeatureStore(FakeMetric(), tmp_path), []
    views = [tuple(View((32, i / 50, 0.0)) for i in range(50))] * len(photos)
    for _ in range(2):
        store.features(photos, views, say=said.append)
    count = len(photos) * 50
    told, grown = count * (DIM * 16 // 3 + 300), sum(file.stat().st_size for file in store.folder.iterdir())
    assert 0.5 * told < grown <= told
    assert said[0].startswith(f"features: {count:,} of {count:,} features to encode from {len(photos)} images; ")
    assert said[0].endswith(f" grows by {told / 1e6:,.1f} MB") and said[1].endswith(" grows by 0.0 MB")


def test_kill_costs_one_batch(photos, tmp_path):
    class Killed(FakeMetric):
        def encode_image(self, x: Tensor) -> Tensor:
            if self.encoded >= 8:
                raise KeyboardInterrupt
            return super().encode_image(x)

    with pytest.raises(KeyboardInterrupt):
        filled(Killed(), tmp_path, photos)
    rest = FakeMetric()
    assert torch.equal(filled(rest, tmp_path, photos), filled(FakeMetric(), tmp_path / "new", photos))
    assert rest.encoded == len(photos) * len(VIEWS) - 8


def _kill_while_filling(paths: list[Path], folder: Path) -> None:
    class Dying(FakeMetric):
        def encode_image(self, x: Tensor) -> Tensor:
            if self.encoded >= 8:
                os.kill(os.getpid(), 9)
            return super().encode_image(x)

    filled(Dying(), folder, paths)


def _fill(paths: list[Path], folder: Path) -> None:
    torch.set_num_threads(1)
    filled(FakeMetric(), folder, paths)


def test_kill_for_real_and_several_processes_at_once(forked, photos, tmp_path):
    assert forked.call(_kill_while_filling, (photos, tmp_path), folder=tmp_path) == [-9]
    writers = ((photos[number:], tmp_path) for number in range(3))
    assert forked.call(_fill, *writers, folder=tmp_path) == [0, 0, 0]
    metric = FakeMetric()
    assert torch.equal(filled(metric, tmp_path, photos), filled(FakeMetric(), tmp_path / "new", photos))
    assert metric.encoded == 0


def test_disk_that_fills_up_keeps_what_was_written(photos, tmp_path, monkeypatch):
    added = []

    def add(store, *row):
        if len(added) == 5:
            raise OutputError("No space left on device")
        added.append(row)
        whole(store, *row)

    whole = JournalFolder.add
    monkeypatch.setattr(JournalFolder, "add", add)
    with pytest.raises(OutputError, match="No space left"):
        filled(FakeMetric(), tmp_path, photos)
    monkeypatch.undo()
    metric = FakeMetric()
    filled(metric, tmp_path, photos)
    assert metric.encoded == len(photos) * len(VIEWS) - 5


def test_no_room_is_said_before_anything_is_encoded(photos, tmp_path, monkeypatch):
    metric = FakeMetric()
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(100, 90, 10))
    with pytest.raises(FeatureError, match="make room"):
        filled(metric, tmp_path, photos)
    assert metric.encoded == 0


def test_damage_and_missing_files(photos, tmp_path, caplog):
    store = FeatureStore(FakeMetric(), tmp_path)
    for paths, views, said in (
        ([tmp_path / "gone.png"], VIEWS, r"gone\.png"),
        (photos[:1], [View((64, 0.0, 0.0))], "64"),
    ):
        with pytest.raises(ImageError, match=said):
            store.features(paths, [views])
    whole = filled(FakeMetric(), tmp_path, photos)
    (file,) = store.folder.iterdir()
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    metric = FakeMetric()
    assert torch.equal(filled(metric, tmp_path, photos), whole) and metric.encoded == 1
    assert "damaged features are made again: line " in caplog.text
