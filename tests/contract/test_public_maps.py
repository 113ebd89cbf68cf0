"""Maps of unit features: equal to the reference in float64, with a gradient, whole and in strips, in any dtype."""

import pytest
import torch
from assertions import refused
from photos import photo_like
from tensors import assert_close

PAIRS = ["sharpness", "noisiness", ("Crisp photo.", "Hazy photo.")]


@pytest.mark.parametrize(
    "backbone", [*(pytest.param(name, marks=pytest.mark.slow) for name in ("RN50", "ViT-B/32")), "mini"]
)
def test_a_place_gets_the_score_of_its_feature(make, backbone):
    """Every place asked as an image would be; of a batch as of single images; beside them the image's features."""
    metric = make(backbone)
    x = photo_like(96, 160, n=2)
    with torch.no_grad():
        features, cells = metric.encode_with_map(x)
        assert_close(features, metric.encode_image(x), atol=1e-6)
        singles = torch.cat([metric.encode_map(image) for image in x.split(1)])
        assert_close(cells, singles, atol=2e-6)
        scores = metric.score_map(x, PAIRS)
        assert scores.shape == (2, 3, 3, 5)
        place = metric.score(cells[:, :, 1, 3], PAIRS, aggregate=None)
        assert_close(scores[:, :, 1, 3], place, atol=1e-6)
        torch.testing.assert_close(metric.score(cells, PAIRS), scores.mean(1, keepdim=True))


def test_a_metric_or_an_image_without_a_map_is_refused(make):
    for metric, width in ((make("mini", pos_embedding="fixed"), 64), (make("mini"), 31)):
        refused(metric.score_map, photo_like(64, width))
