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
