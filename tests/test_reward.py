"""The reward: one margin per image, without gradient, whatever the batch."""

from __future__ import annotations

import pytest
import torch

from clipiqa_pyiqa import CLIPIQA, CLIPIQAError, ImageError
from clipiqa_pyiqa.reward import CLIPIQAReward

pytestmark = pytest.mark.quick

IMAGES = torch.rand(5, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def test_rewards_are_the_logits_of_the_scores() -> None:
    reward = CLIPIQAReward(["quality", "sharpness"], backbone="mini", batch_size=2)
    found = reward(IMAGES.requires_grad_())
    scores = CLIPIQA(backbone="mini").eval()(IMAGES, ["quality", "sharpness"], None)
    # logit() of a score in fp32 loses digits: 1e-4 of margins around 1
    assert (found - scores.logit().mean(1)).abs().max() < 1e-4
    assert found.shape == (5,) and not found.requires_grad


def test_images_of_several_sizes_and_out_of_range() -> None:
    reward = CLIPIQAReward(backbone="mini")
    images = [IMAGES[0].detach(), IMAGES[1, :, :48].detach()]
    assert torch.equal(reward(images)[:1], reward(IMAGES[:1].detach()))
    assert torch.equal(reward(IMAGES.detach() * 2), reward((IMAGES.detach() * 2).clamp(0, 1)))
    assert torch.equal(reward(list(IMAGES.detach())), reward(IMAGES.detach()))  # as Flow-Factory passes them
    assert reward([]).shape == (0,)


def test_errors() -> None:
    with pytest.raises(CLIPIQAError, match="batch_size must be between 1 and"):
        CLIPIQAReward(backbone="mini", batch_size=0)
    with pytest.raises(ImageError, match="NaN"):
        CLIPIQAReward(backbone="mini")(torch.full((1, 3, 64, 64), torch.nan))
