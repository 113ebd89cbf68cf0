"""Videos as shards of frames."""

import pytest
from photos import pictures, save_clip

from clipiqa_pyiqa import CLIPIQA, score_paths

pytest.importorskip("av", reason="PyAV (the extra `video`) is not installed")


@pytest.fixture
def clip(tmp_path):
    """Thirty frames in three seconds."""
    return save_clip(tmp_path / "in/clip.mkv", pictures(30))


def test_frames_of_lossless_rgb_score_as_their_pngs_to_the_last_bit(clip, tmp_path):
    for number in (0, 10, 20):
        pictures(30)[number].save(tmp_path / f"{number:02}.png")
    metric = CLIPIQA(backbone="mini")
    frames, files = (list(score_paths(metric, path)) for path in (clip, sorted(tmp_path.glob("*.png"))))
    assert [row.path for row in frames] == [f"{clip}::{time}" for time in ("000000.000", "000001.000", "000002.000")]
    assert [row.scores for row in frames] == [row.scores for row in files]
    assert {row.converted for row in frames} == {""}
