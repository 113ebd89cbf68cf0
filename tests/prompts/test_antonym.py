"""The antonym softmax against values computed by hand."""

import math

import pytest
import torch

from clipiqa_pyiqa.prompts.antonym import antonym_scores, margins

pytestmark = pytest.mark.quick

PAIRS = torch.tensor([[[1.0, 0.0], [0.0, 1.0]], [[0.0, 1.0], [1.0, 0.0]]])  # (2 pairs, 2 sides, 2 dimensions)


def test_scores_and_margins_equal_hand_computed_values():
    features = torch.tensor([[0.8, 0.6], [1.0, 0.0]])
    expected = torch.tensor([[2.0, -2.0], [10.0, -10.0]])  # 10 × (0.8 − 0.6), and 10 × (1 − 0)
    torch.testing.assert_close(margins(features, PAIRS, 10.0), expected)
    probability = 1 / (1 + math.exp(-2))
    scores = antonym_scores(features, PAIRS, 10.0)
    torch.testing.assert_close(scores[0], torch.tensor([probability, 1 - probability]))
    assert antonym_scores(features[1:], PAIRS, 1e4).tolist() == [[1.0, 0.0]]  # extreme, and finite


def test_equal_features_have_equal_scores_in_batches_of_any_length():
    draw = torch.Generator().manual_seed(0)
    feature = torch.nn.functional.normalize(torch.randn(1, 512, generator=draw), dim=-1)
    pairs = torch.nn.functional.normalize(torch.randn(3, 2, 512, generator=draw), dim=-1)
    alone = antonym_scores(feature, pairs, 100.0)
    for count in range(2, 40):
        assert antonym_scores(feature.repeat(count, 1), pairs, 100.0).equal(alone.expand(count, -1))
