"""Scores of a network's outputs: the loss in training, and what must not get worse while it falls."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from ...errors import CLIPIQAError
from ...loss import CLIPIQALoss
from ...machine import import_pyiqa
from ...metric import CLIPIQA
from ...prompts.pairs import NAMED_PAIRS
from ...reward import psnr

OutputScores = dict[str, Tensor]
"""Name of a score -> the score of each output ``(N,)``, float64 on the CPU."""

PROMPTS = ("quality", "sharpness", "noisiness")
_BLUR = 9  # an image's details are what differs from its mean over squares of this side, in pixels


class OutputScorer:
    """Scores outputs by a training's loss, without its weight, and by what the training does not optimise.

    Attributes:
        lower_better: The names of the scores that are good if they are low.
    """

    def __init__(self, criterion: CLIPIQALoss, judges: Sequence[str]) -> None:
        self._criterion = _loss_of_each_image(criterion)
        self._judges = {name: import_pyiqa().create_metric(name, device="cpu") for name in judges}
        self.lower_better = {"loss", "fixed pattern"}
        self.lower_better |= {name for name, judge in self._judges.items() if judge.lower_better}

    def scores(self, outputs: Tensor, references: Tensor | None) -> OutputScores:
        """Return the loss, the power of a fixed pattern, scores by other prompts and judges, and PSNR to references."""
        scores = {"loss": self._criterion(outputs)}
        images = self._in_unit_range(outputs).clamp(0, 1)
        scores["fixed pattern"] = _power_of_fixed_pattern(images)
        scores |= self._scores_by_other_prompts(images)
        for name, judge in self._judges.items():
            scores[name] = judge(images.float().cpu()).flatten()
        if references is not None:
            self.check_range(references)
            if references.shape != outputs.shape:
                raise CLIPIQAError(
                    f"references must have the outputs' shape {tuple(outputs.shape)}; got {tuple(references.shape)}."
                )
            scores["psnr"] = self.psnr(outputs, references)
        return {name: numbers.double().cpu() for name, numbers in scores.items()}

    def lowest_loss(self, images: Tensor) -> float:
        """Return the lowest loss of clean images."""
        self.check_range(images)
        return self._criterion(images).min().item()

    def check_range(self, images: Tensor) -> None:
        """Raise ``CLIPIQAError`` for images that are not in the loss's range, or that the metric cannot score."""
        self._criterion.metric.check(self._in_unit_range(images))

    def psnr(self, outputs: Tensor, others: Tensor) -> Tensor:
        """Return the PSNR in dB of each output to its other image."""
        pairs = zip(self._in_unit_range(outputs), self._in_unit_range(others), strict=True)
        return torch.tensor([psnr(output, other) for output, other in pairs])

    def _scores_by_other_prompts(self, images: Tensor) -> OutputScores:
        """Return the scores by named pairs that the loss does not use."""
        metric = self._criterion.metric
        if not isinstance(metric, CLIPIQA):
            return {}
        prompts_in_loss = {pair.texts[0] for pair in metric.prompts}
        names = [name for name in PROMPTS if NAMED_PAIRS[name].positive not in prompts_in_loss]
        if not names:
            return {}
        return dict(zip(names, metric(images, names, None).unbind(1), strict=True))

    def _in_unit_range(self, images: Tensor) -> Tensor:
        low, high = self._criterion.input_range
        return (images - low) / (high - low)


def _loss_of_each_image(criterion: CLIPIQALoss) -> CLIPIQALoss:
    """Return the loss without weight and mean; the network is shared."""
    criterion = copy.copy(criterion)
    criterion.loss_weight = 1.0
    criterion.reduction = "none"
    criterion.share = None
    criterion.nan = "raise"
    return criterion


def _power_of_fixed_pattern(images: Tensor) -> Tensor:
    """Return how much of each image's details all others have at the same place, in squares of 8-bit levels."""
    margin = _BLUR - 1  # at the border, padding leaves a pattern
    details = images - avg_pool2d(images, _BLUR, 1, _BLUR // 2)
    details = 255 * details[..., margin:-margin, margin:-margin].float()
    details_of_others = details.mean(0) - details / len(details)
    return (details * details_of_others).flatten(1).mean(1)
