"""The alarm for gaming: what raises it, and what does not. (How often it is right: tests/measure/gaming.py.)"""

import pytest
import torch
from assertions import refused
from photos import photos
from tensors import normal
from torch.nn import functional as F
from torchvision.transforms.functional import pil_to_tensor

from clipiqa_pyiqa import CLIPIQALoss, GamingAlarm

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def clean():
    """Sixteen squares of photos."""
    found = [pil_to_tensor(photo)[:, :96, :128].unfold(1, 48, 48).unfold(2, 64, 64) for photo in photos().values()]
    squares = torch.cat([each.permute(1, 2, 0, 3, 4).flatten(0, 1) for each in found]) / 255
    return squares.repeat(16, 1, 1, 1)[:16] + torch.arange(16).view(-1, 1, 1, 1) / 1e4


@pytest.fixture(scope="module")
def criterion(metric):
    return CLIPIQALoss(metric=metric, loss_weight=0.01)


@pytest.fixture(scope="module")
def blurred(clean):
    return F.avg_pool2d(clean, 3, stride=1, padding=1)


def along_the_gradient(x, criterion, steps):
    for _ in range(steps):
        x = x.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(criterion(x), x)
        x = (x - 0.2 * F.normalize(gradient.flatten(1), dim=1).view_as(x)).clamp(0, 1)
    return x.detach()


@pytest.fixture(scope="module")
def climbed(blurred, criterion):
    return along_the_gradient(blurred, criterion, 25)


def test_pixels_that_follow_the_gradient_are_called(clean, blurred, climbed, criterion):
    for with_references in [True, False]:
        alarm = GamingAlarm(criterion, None if with_references else clean)
        references = clean if with_references else None
        assert alarm(blurred, references).sentence == ""
        found = alarm(climbed, references)
        assert "of the outputs are better than every clean photo" in found.sentence
        assert found.numbers["above clean"] > 0.5 and ("psnr" in found.numbers) is with_references


def test_a_loss_that_asks_for_all_named_pairs_has_no_other_prompts(clean, metric):
    alarm = GamingAlarm(CLIPIQALoss(["quality", "sharpness", "noisiness"], backbone="mini"), clean)
    assert alarm(clean).sentence == ""


def test_a_stored_alarm_compares_with_the_first_call_of_a_stopped_training(
    clean, blurred, climbed, criterion, tmp_path
):
    alarm = GamingAlarm(criterion, clean)
    assert alarm(blurred).sentence == ""
    torch.save(alarm, tmp_path / "alarm.pt")
    resumed = torch.load(tmp_path / "alarm.pt", weights_only=False)
    assert resumed(climbed).sentence == alarm(climbed).sentence != ""


def noisy(clean, amount, seed=0):
    return clean + amount * normal(clean.shape, seed=seed)


def test_a_restoration_is_not_called(clean, criterion):
    alarm = GamingAlarm(criterion)
    for amount in (0.1, 0.05, 0.01):
        found = alarm(noisy(clean, amount), clean)
        assert found.sentence == "" and found.numbers["psnr"] > 19
    assert criterion.loss_weight == 0.01 and criterion.reduction == "mean"  # the loss itself is unchanged


def test_other_images_than_at_first_are_refused(clean, criterion):
    alarm = GamingAlarm(criterion, judges=())
    alarm(clean, clean)
    for given in ({"outputs": clean[:8]}, {"outputs": clean, "without": clean[:8]}):
        refused(alarm, references=clean, **given)


def test_images_with_which_the_alarm_would_be_silent_are_refused(clean, criterion):
    broken = clean.where(clean < clean.max(), torch.nan)
    for references in (clean[:8], clean[..., :32], 255 * clean, 2 * clean - 1, broken):
        refused(GamingAlarm(criterion, judges=()), clean, references)
    alarm = GamingAlarm(criterion, judges=())
    for given in [(clean[:5],), (list(clean),), (255 * clean,), (clean, clean, 255 * clean)]:
        refused(alarm, *given)
    assert "pass references" in refused(alarm, clean, without=clean)  # only PSNR to them tells the trainings apart
    assert not alarm(clean, clean).sentence  # what was refused is not the first call, which had no references
    refused(GamingAlarm, criterion, 255 * clean)


def test_the_alarm_goes_off_in_the_hundredth_call_too(clean, criterion):
    alarm = GamingAlarm(criterion, judges=())
    worse = noisy(clean, 0.05)
    for _ in range(99):
        assert alarm(clean, clean).sentence == ""
    assert "lower, and the loss is" in alarm(worse, clean).sentence


def test_a_lag_behind_the_training_without_the_loss_is_called(clean, criterion):
    """PSNR rises from the first call, so that only the other training tells: 0.6 dB are missing."""
    alarm = GamingAlarm(criterion, judges=())
    usual = GamingAlarm(criterion, judges=())
    for each in (alarm, usual):
        each(noisy(clean, 0.1), clean)
    without = noisy(clean, 0.04, 2)
    lagging = noisy(clean, 0.043, 1)
    by_chance = alarm(lagging, clean, without=along_the_gradient(without, criterion, 1))
    assert by_chance.numbers["psnr gain"] < -0.5
    assert by_chance.sentence == ""  # the loss is not better: two trainings end at different points
    lagging = along_the_gradient(lagging, criterion, 1)
    assert "lower, while the loss is" in alarm(lagging, clean, without=without).sentence
    assert usual(lagging, clean).sentence == ""


def test_worse_outputs_are_called_though_the_loss_rose(clean, criterion):
    """PSNR needs references; most scores fall with noise; a pattern is the same in all outputs."""
    for reason in ["PSNR is", "got worse", "pattern"]:
        alarm = GamingAlarm(criterion)
        references = clean if reason == "PSNR is" else None
        tile = 0.02 * normal(3, 4, 4)
        before = alarm(clean, references)
        found = alarm(clean + tile.tile(12, 16) if reason == "pattern" else noisy(clean, 0.05), references)
        assert found.numbers["loss"] > before.numbers["loss"]
        assert reason in found.sentence and ("pattern" in found.sentence) is (reason == "pattern")


def test_a_clear_fall_of_psnr_is_called_with_few_images_too(clean, criterion):
    """Images fall by 0 to 3 dB (p = 0.03); or one falls by 8 dB, the others by 0.2, and the loss falls."""
    before = noisy(clean, 0.04)[:8]
    for brightening, follows_the_gradient in [
        ([0.04, 0.04, 0.03, 0.02, 0.02, 0.006, 0, 0], False),
        ([0.092] + 7 * [0.009], True),
    ]:
        alarm = GamingAlarm(criterion, judges=())
        assert not alarm(before, clean[:8]).sentence
        after = before + torch.tensor(brightening).view(8, 1, 1, 1)
        if follows_the_gradient:
            after = along_the_gradient(after, criterion, 1)
        found = alarm(after, clean[:8])
        assert -1.5 < found.numbers["psnr gain"] < -1
        assert found.sentence.startswith("Compared with the first call, PSNR is 1.")
        assert "lower, while the loss is" in found.sentence or not follows_the_gradient


def test_a_fall_of_psnr_in_one_image_alone_is_not_called(clean, criterion):
    alarm = GamingAlarm(criterion, judges=())
    alarm(noisy(clean, 0.04), clean)
    better = noisy(clean, 0.038)
    better[0] = noisy(clean, 0.6)[0].clamp(0, 1)
    found = alarm(along_the_gradient(better, criterion, 1), clean)
    assert found.numbers["psnr gain"] < -0.5
    assert not found.sentence


def test_a_fall_from_the_best_call_is_called_if_the_loss_fell(clean, criterion):
    """PSNR is above that of the first call throughout."""
    for is_gamed in (True, False):
        alarm = GamingAlarm(criterion, judges=())
        best = noisy(clean, 0.04)
        assert not alarm(noisy(clean, 0.1), clean).sentence and not alarm(best, clean).sentence
        fallen = along_the_gradient(noisy(clean, 0.044), criterion, 1 if is_gamed else 0)
        found = alarm(fallen, clean)
        assert found.numbers["psnr gain"] > 3
        assert ("Compared with the best call so far, PSNR is" in found.sentence) is is_gamed
        assert alarm(best, clean).sentence == ""


def test_a_training_that_keeps_pace_is_not_called(clean, criterion):
    alarm = GamingAlarm(criterion, judges=())
    alarm(noisy(clean, 0.1), clean, without=noisy(clean, 0.1))
    assert alarm(noisy(clean, 0.0404, 1), clean, without=noisy(clean, 0.04, 2)).sentence == ""  # 0.09 dB
    assert alarm(noisy(clean, 0.08, 1), clean, without=noisy(clean, 0.1, 2)).sentence == ""


def test_a_loss_with_a_share_is_watched_like_one_with_a_weight(clean, blurred, climbed, metric, criterion):
    found = []
    for watched in (criterion, CLIPIQALoss(share=0.3, beside="l1", metric=metric)):
        alarm = GamingAlarm(watched, clean)
        alarm(blurred)
        found.append(alarm(climbed))
        assert watched.share == {criterion: None}.get(watched, 0.3)
    assert found[0] == found[1] and found[0].sentence
