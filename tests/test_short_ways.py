"""What Python users meet first: files scored in one call, names of columns, hints about shape and range."""

import numpy as np
import pytest
import torch
from photos import BUNDLED

from clipiqa_pyiqa import CLIPIQA, CLIPIQALoss, ImageError, score_paths

pytestmark = pytest.mark.quick


# Score files


def test_score_files_takes_paths_folders_and_globs(tmp_path):
    net = CLIPIQA(backbone="mini", prompts=["quality", "sharpness"], aggregate=None).eval()
    assert net.columns == ("quality", "sharpness")
    (tmp_path / "broken.png").write_bytes(b"no")
    found = net.score_files([BUNDLED, tmp_path / "*.png"])
    assert list(found.columns) == ["quality", "sharpness", "flag", "error"] and len(found) == 3
    rows = list(score_paths(net, BUNDLED, device="cpu"))
    assert found.iloc[:2, :2].to_numpy().tolist() == [list(row.scores or ()) for row in rows]
    assert "is not an image" in found["error"].iloc[2] and np.isnan(found["quality"].iloc[2])
    assert list(net.score_files(BUNDLED, ["brightness"], max_side=64)) == ["brightness", "flag", "error"]
    with pytest.raises(ImageError):
        net.score_files([])


# Hints


@pytest.mark.filterwarnings("error")
def test_a_prediction_far_out_of_range_warns_once():
    loss = CLIPIQALoss(backbone="mini")
    x = torch.rand(1, 3, 32, 32)
    loss(x * 1.4 - 0.2)  # a network's overshoot is no news
    with pytest.warns(UserWarning):
        loss(x * 255)
    loss(x * 255)
    CLIPIQALoss(backbone="mini", input_range=(0, 255))(x * 255)
    with pytest.warns(UserWarning):
        CLIPIQALoss(backbone="mini")(x * 2 - 1)
