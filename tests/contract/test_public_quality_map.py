"""Maps for people to look at: smoothed, at the image's size, and pointing at what was damaged."""

import pytest
import torch
from assertions import refused

from clipiqa_pyiqa import quality_map

pytestmark = pytest.mark.quick


def test_what_is_no_metric_and_no_truth_is_named(metric):
    images = torch.rand(1, 3, 64, 64)
    assert "metric must be a CLIPIQA" in refused(quality_map, "mini", images)
    assert "smooth must be" in refused(quality_map, metric, images, smooth="no")
    assert "upsample must be" in refused(quality_map, metric, images, upsample="yes")
