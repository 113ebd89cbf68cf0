"""The reward: one margin per image, without gradient, whatever the batch."""

from unittest import mock

import pytest
import torch
from assertions import refused
from metrics import save_head
from photos import photo_like
from torch import Tensor

from clipiqa_pyiqa import CLIPIQAReward
from clipiqa_pyiqa.clip.model import FrozenCLIP

pytestmark = pytest.mark.quick

IMAGES = photo_like(64, 64, 5)


class OnGPU(Tensor):
    """Images that say they are on a GPU until they are moved."""

    device = torch.device("cuda")

    def to(self, *_, **__):
        return self.as_subclass(Tensor)


def test_only_the_rewards_own_device_gets_a_tower():
    images = IMAGES.as_subclass(OnGPU)
    with mock.patch.object(FrozenCLIP, "image_tower", autospec=True, side_effect=FrozenCLIP.image_tower) as image_tower:
        assert CLIPIQAReward(backbone="mini", batch_size=1, device="cpu")(images).shape == (5,)
    assert {call.args[1].type for call in image_tower.call_args_list} == {"cpu"}


def test_a_head_is_refused_at_once(metric, tmp_path):
    """It was built, and every call failed."""
    save_head(metric, tmp_path / "head.safetensors")
    options = {"model_type": "clipiqa+", "pretrained_model_path": tmp_path / "head.safetensors"}
    assert "no prompts to reward" in refused(CLIPIQAReward, **options)
