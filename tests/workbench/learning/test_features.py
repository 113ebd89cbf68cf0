"""The feature store: encoded once, never stale, whole after a kill, and shared between processes."""

import shutil
from types import SimpleNamespace
from unittest import mock

import pytest
import torch
from metrics import DIM, FakeMetric

from clipiqa_pyiqa import ImageError
from clipiqa_pyiqa.errors import OutputError
from clipiqa_pyiqa.training import Augmentation
from clipiqa_pyiqa.workbench.images.image import read_image
from clipiqa_pyiqa.workbench.learning.stored_features import NOT_AUGMENTED, read_or_encode_features

AUGMENTATIONS = (NOT_AUGMENTED, Augmentation(flip=True), Augmentation((32, 0.5, 0.99)))


def filled(metric, folder, paths):
    return read_or_encode_features(metric, folder, paths, [AUGMENTATIONS] * len(paths))


def test_each_view_of_each_image_is_encoded_once(photos, tmp_path, caplog):
    caplog.set_level("INFO")
    metric = FakeMetric()
    first = filled(metric, tmp_path, photos)
    count = len(photos) * len(AUGMENTATIONS)
    assert metric.encoded == count and f"{count} of {count} features" in caplog.text
    assert torch.equal(first, filled(metric, tmp_path, photos[::-1]).flip(0)) and metric.encoded == count
    pixels = read_image(photos[0]).pixels
    crop = pixels[:, int(0.5 * 9) : int(0.5 * 9) + 32, int(0.99 * 17) : int(0.99 * 17) + 32]  # 40 − 32 + 1, 48 − 32 + 1
    expected = [metric.encode_image(view[None] / 255)[0] for view in (pixels, pixels.flip(2), crop)]
    torch.testing.assert_close(first[0], torch.stack(expected), atol=1e-6, rtol=0)
    assert first.shape == (len(photos), len(AUGMENTATIONS), DIM)


def test_another_setup_finds_nothing(photos, tmp_path):
    filled(FakeMetric(), tmp_path, photos[:1])
    changes = {"sha256": "b", "quick_gelu": False, "precision": "bf16", "pos_embedding": "none"}
    for name, value in {**changes, "head": SimpleNamespace(is_on_stages=True)}.items():
        other = FakeMetric(**{name: value})
        filled(other, tmp_path, photos[:1])
        assert other.encoded == 3


def test_file_that_changes_is_encoded_again_and_a_copy_is_not(photos, tmp_path):
    image = tmp_path / "image.png"
    copied = tmp_path / "copy.png"
    shutil.copy(photos[0], image)
    shutil.copy(photos[0], copied)
    metric = FakeMetric()
    first, second = filled(metric, tmp_path / "s", [image, copied])
    assert torch.equal(first, second) and metric.encoded == 3
    assert torch.equal(filled(metric, tmp_path / "s", [copied])[0], first) and metric.encoded == 3
    shutil.copy(photos[1], image)
    assert not torch.equal(filled(metric, tmp_path / "s", [image])[0], first) and metric.encoded == 6


def test_images_that_have_no_features_are_named(photos, tmp_path):
    metric = FakeMetric()
    metric.encode_image = mock.Mock(side_effect=MemoryError)
    for path, views in (
        (photos[0], AUGMENTATIONS),  # no memory
        (tmp_path / "gone.png", AUGMENTATIONS),
        (photos[0], [Augmentation((64, 0.0, 0.0))]),  # it has 48×40 px
    ):
        with pytest.raises(ImageError, match=path.name):
            read_or_encode_features(metric, tmp_path, [path], [views])


def test_a_full_disk_is_named_and_what_was_encoded_is_kept(photos, small_disk):
    wanted = [[Augmentation((32, 0.0, place / 99)) for place in range(99)]] * 2
    for _ in range(2):
        with pytest.raises(OutputError):
            read_or_encode_features(FakeMetric(), small_disk, photos[:2], wanted)
    metric = FakeMetric()
    read_or_encode_features(metric, small_disk, photos[:1], [wanted[0][:50]])
    assert metric.encoded == 0


def _fill(paths, folder):
    torch.set_num_threads(1)
    filled(FakeMetric(), folder, paths)


@pytest.mark.long
def test_several_processes_fill_a_store_at_once(forked, photos, tmp_path):
    writers = ((photos[number:], tmp_path) for number in range(3))
    assert forked.call(_fill, *writers, folder=tmp_path) == [0, 0, 0]
    metric = FakeMetric()
    assert torch.equal(filled(metric, tmp_path, photos), filled(FakeMetric(), tmp_path / "alone", photos))
    assert metric.encoded == 0
