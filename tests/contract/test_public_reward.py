"""The reward: one margin per image, without gradient, whatever the batch."""

import math

import pytest
import torch
from assertions import refused
from photos import photo_like
from PIL import Image

from clipiqa_pyiqa import CLIPIQAReward

pytestmark = pytest.mark.quick

IMAGES = photo_like(64, 64, 5)


@pytest.fixture(scope="module")
def reward():
    return CLIPIQAReward(backbone="mini")


def test_rewards_are_the_logits_of_the_scores(metric):
    reward = CLIPIQAReward(["quality", "sharpness"], backbone="mini", batch_size=2)
    rewards = reward(IMAGES.clone().requires_grad_())
    scores = metric(IMAGES, ["quality", "sharpness"], None)
    # logit() of a score in fp32 loses digits: 1e-4 of margins around 1
    assert (rewards - scores.logit().mean(1)).abs().max() < 1e-4
    assert rewards.shape == (5,)
    assert not rewards.requires_grad


def test_every_form_of_images_has_one_reward(reward):
    x = (IMAGES * 255).byte()
    channels_last = x.permute(0, 2, 3, 1)
    arrays = channels_last.numpy()
    pil_images = [Image.fromarray(array) for array in arrays]
    for form in (x, arrays, channels_last / 255, list(x), pil_images):
        assert torch.equal(reward(form), reward(x / 255))


def test_paths_bytes_and_dicts_are_refused(reward, tmp_path):
    path = tmp_path / "photo.png"
    Image.new("RGB", (64, 64)).save(path)
    for image in (str(path), path, path.read_bytes(), {"path": str(path)}, {"bytes": path.read_bytes()}):
        assert "not a PIL image, an array" in refused(reward, image)
        assert "'image 1'" in refused(reward, [IMAGES[0], image])


def test_images_of_several_sizes_and_a_little_out_of_range(reward):
    images = [IMAGES[0], IMAGES[1, :, :48]]
    assert torch.equal(reward(images)[:1], reward(IMAGES[:1]))
    beyond = IMAGES * 1.4 - 0.1
    assert torch.equal(reward(beyond), reward(beyond.clamp(0, 1)))
    assert reward([]).shape == (0,)


def test_values_far_outside_are_refused_by_the_images_place():
    reward = CLIPIQAReward(backbone="mini", batch_size=2)
    for factor in (255, -1):
        images = list(IMAGES)
        images[3] = images[3] * factor
        assert "image 3" in refused(reward, images)
        assert "image 3" in refused(reward, torch.stack(images))


def test_the_local_reward_is_the_mean_of_the_worst_places(metric):
    images = photo_like(128, 160, 2)
    places = metric.score_map(images)[:, 0].logit().flatten(1)  # 4 × 5 places
    reward = CLIPIQAReward(backbone="mini", local=True, quantile=0.15)
    assert (reward(images) - places.sort(1).values[:, :3].mean(1)).abs().max() < 1e-4  # as above
    refused(CLIPIQAReward, backbone="mini", local=True, quantile=0)


def test_a_device_that_is_not_here_is_named():
    for device in ("cuda:99", "graphics card"):
        assert f"got '{device}'" in refused(CLIPIQAReward(backbone="mini", device=device), IMAGES)


def test_references_add_psnr():
    """By hand: an error of 0.1 everywhere is 20 dB; one below the rounding to 8 bits is 58.9 dB."""
    images = 0.8 * IMAGES + 0.1
    references = torch.stack([images[0] + 0.1, images[1] - 0.01, *images[2:]])
    rounding = 20 * math.log10(255 * math.sqrt(12))
    decibels = [20, 40, rounding, rounding, rounding]
    for fidelity in (1.0, 0.25):
        reward = CLIPIQAReward(backbone="mini", fidelity=fidelity, batch_size=2)
        added = reward(images, references) - reward(images)
        assert added.tolist() == pytest.approx([fidelity * db for db in decibels], rel=1e-4)


def test_references_that_do_not_fit_are_refused(reward):
    for references in (IMAGES[:4], IMAGES[:, :, :48], IMAGES[0]):  # fewer, smaller, one
        refused(reward, IMAGES, references)


def test_its_repr_tells_its_parts():
    text = repr(CLIPIQAReward(["quality", "sharpness"], backbone="mini", local=True, quantile=0.1, fidelity=0.5))
    for part in ("local=True", "quantile=0.1", "fidelity=0.5", "nan='raise'", "backbone='mini'", "Sharp photo."):
        assert part in text


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_an_image_with_nan_gets_the_lowest_reward_of_the_others_if_asked(reward, broken):
    images = IMAGES.clone()
    images[2, 0, 5, 5] = broken
    assert "image 2" in refused(reward, images)
    lenient = CLIPIQAReward(backbone="mini", nan="lowest")
    usual = reward(IMAGES)
    others = [0, 1, 3, 4]
    with pytest.warns(UserWarning, match="lowest reward"):
        lenient(images)
    for form in (images, list(images), images.numpy()):  # without a further warning
        rewards = lenient(form)
        assert torch.allclose(rewards[others], usual[others], atol=1e-5)  # batches of another size round otherwise
        assert rewards[2] == rewards[others].min()
    with_references = lenient(images, IMAGES)
    assert with_references[2] == with_references[others].min()
    assert "diverged" in refused(lenient, images[2])
    assert "image 1" in refused(lenient, [IMAGES[0], IMAGES[1] * 255])  # only NaN and infinity are forgiven
