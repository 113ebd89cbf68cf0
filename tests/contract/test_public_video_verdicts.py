"""Videos, judged by the scores of their frames."""

import numpy as np
import pandas
import pytest

from clipiqa_pyiqa import gate

pytestmark = pytest.mark.slow


def save(path, videos, pattern="{}.mp4::{:010.3f}", column="q", step=0.5):
    """A file of frames' scores: video -> scores, one each half second."""
    rows = [
        (pattern.format(name, step * n), score) for name, scores in videos.items() for n, score in enumerate(scores)
    ]
    pandas.DataFrame(rows, columns=["path", column]).to_csv(path, index=False)
    return path


def test_gate_pairs_videos_since_frames_depend_on_each_other(tmp_path):
    """New videos are as good on average; each is a little better or worse as a whole."""
    random = np.random.default_rng(0)
    worse = {"{}.mp4::{:010.3f}": 0, "{}-{}.png": 0}
    for trial in range(40):
        base = {f"v{n}": 0.5 + random.normal(0, 0.1, 12) for n in range(20)}
        new = {name: scores + random.normal(0, 0.02) + random.normal(0, 0.01, 12) for name, scores in base.items()}
        patterns = list(worse) if trial < 20 else list(worse)[:1]
        for pattern in patterns:
            files = [save(tmp_path / f"{n}.csv", videos, pattern) for n, videos in enumerate((base, new))]
            if not gate(*files).has_passed:
                worse[pattern] += 1
    of_videos, of_frames = worse.values()
    assert of_videos <= 2 and of_frames > 4


def test_a_damaged_video_of_the_new_run_does_not_pass(tmp_path):
    files = [save(tmp_path / f"{n}.csv", {f"v{n}": [0.5, 0.6] for n in range(20)}) for n in range(2)]
    assert gate(*files).has_passed
    with files[1].open("a") as lines:
        lines.write("v3.mp4,\n")
    assert not gate(*files).has_passed
