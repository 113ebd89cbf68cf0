"""A pickled metric finds its weights by hash, never others that lie in their place."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from weights_fakes import VIT, damage, place, save_state_dict

from clipiqa_pyiqa.clip.model import frozen_clip
from clipiqa_pyiqa.errors import WeightsError
from clipiqa_pyiqa.weights.selection import find_weights

pytest_plugins = ["weights_fakes"]


def test_moved_and_replaced_weights(home: Path, folder: Path, tmp_path: Path) -> None:
    path = save_state_dict(tmp_path / "mine.pt", VIT)
    pickled = pickle.dumps(frozen_clip(find_weights(VIT, path, quick_gelu=True)))
    assert pickle.loads(pickled).weights.path == path
    elsewhere = place(path, folder / "mine.pt")
    damage(path)
    assert pickle.loads(pickled).weights.path == elsewhere
    damage(elsewhere)
    with pytest.raises(WeightsError, match=r"no file with that SHA-256 is on this machine; .*mine\.pt is another file"):
        pickle.loads(pickled)


def test_published_weights_on_another_machine(home: Path, openai_file: Path) -> None:
    pickled = pickle.dumps(frozen_clip(find_weights(VIT, openai_file)))
    cached = place(openai_file, home / ".cache" / "clip" / "ViT-B-32.pt")
    openai_file.unlink()
    assert pickle.loads(pickled).weights.path == cached


def test_backbone_that_is_a_file(home: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"is a file: pass clip_weights='.*RN50\.pt'"):
        find_weights(str(tmp_path / "RN50.pt"))
