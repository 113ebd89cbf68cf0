"""What Python users meet first: files scored in one call, names of columns, hints about shape and range."""

import numpy as np
import pytest
import torch
from photos import BUNDLED

from clipiqa_pyiqa import CLIPIQA, CLIPIQALoss, score_paths

pytestmark = pytest.mark.quick


# Score paths


def test_a_frame_has_a_row_for_each_file_of_paths_folders_and_globs(tmp_path):
    net = CLIPIQA(backbone="mini", prompts=["quality", "sharpness"], aggregate=None).eval()
    assert net.columns == ("quality", "sharpness")
    (tmp_path / "broken.png").write_bytes(b"no")
    frame = score_paths(net, [BUNDLED, tmp_path / "*.png"], device="cpu").frame()
    assert list(frame.columns) == ["quality", "sharpness", "flag", "error"]
    assert len(frame) == 3
    rows = list(score_paths(net, BUNDLED, device="cpu"))
    assert frame.iloc[:2, :2].to_numpy().tolist() == [list(row.scores) for row in rows]
    assert "is not an image" in frame["error"].iloc[2]
    assert np.isnan(frame["quality"].iloc[2])


def test_a_frame_has_a_column_for_each_question():
    net = CLIPIQA(backbone="mini").eval()
    frame = score_paths(net, BUNDLED, ["brightness"], max_side=64, device="cpu").frame()
    assert list(frame.columns) == ["brightness", "flag", "error"]


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
