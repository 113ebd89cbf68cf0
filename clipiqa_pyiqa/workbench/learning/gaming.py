"""An alarm for training that games the metric: the optimised score rises while images do not get better."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ...checks import check_list, check_number
from ...errors import CLIPIQAError
from ...loss import CLIPIQALoss
from ...text import shown
from ..stats.mean_differences import mean_difference
from ..stats.significance import cases_needed
from .output_scores import OutputScorer, OutputScores

LEVEL = 0.05  # probability that chance confirms a change of a score in any of the calls
BEHIND_DB = 0.2  # lag behind a training without the loss that is no alarm
_ADVICE = "lower the loss's weight, or stop earlier"


@dataclass(frozen=True)
class GamingCheck:
    """What :class:`GamingAlarm` found.

    Attributes:
        numbers: Means over the images; ``fixed pattern`` is the power of details that are in all images at the same
            place, in squares of 8-bit levels, and ``psnr gain`` is in dB over ``without``, or else the first call.
        sentence: The alarm, or empty.
    """

    numbers: dict[str, float]
    sentence: str


@dataclass(frozen=True)
class _Call:
    """The outputs of a call, and their scores."""

    outputs: Tensor
    scores: OutputScores


class GamingAlarm:
    """Alarm that compares a network's outputs in training with its first and its best, or with a run without the loss.

    It goes off if one of these holds: the loss fell, and most outputs have a lower one than any clean photo; PSNR to
    the references fell by more than ``allow_db``, since the first call, or since the call where it was highest while
    the loss fell; all outputs have the same fine pattern; most scores (the loss, the fixed pattern, other prompts,
    metrics of pyiqa) got worse while PSNR did not rise. A fall of PSNR since the first call counts if the loss fell
    too and most images lost PSNR, or else if a paired test over the images confirms it (p < 0.05). Every other change
    counts if the test confirms it at a level that becomes stricter with each call, so that in about 5 % of runs with
    16 images or more, chance alone does so for a given score. Pass at least 16, of different scenes.

    Args:
        criterion: the loss in training.
        clean: clean photos ``(M, 3, H, W)`` of any scenes, in the criterion's ``input_range``; default the references.
        judges: no-reference metrics of pyiqa; PIQE needs no file, NIQE is downloaded.
        allow_db: fall of PSNR since the first or the best call, in dB, that raises no alarm.
    """

    def __init__(
        self,
        criterion: CLIPIQALoss,
        clean: Tensor | None = None,
        *,
        judges: Sequence[str] = ("piqe",),
        allow_db: float = 0.5,
    ):
        if not isinstance(criterion, CLIPIQALoss):
            raise CLIPIQAError(f"criterion must be a CLIPIQALoss; got {shown(criterion)}.")
        check_list("judges", judges)
        check_number("allow_db", allow_db, least=0)
        self.allow_db = allow_db
        self._scorer = OutputScorer(criterion, judges)
        self._lowest_of_clean = None if clean is None else self._scorer.lowest_loss(clean)
        self._call_count = 0
        self._first: _Call | None = None
        self._scores_at_best_psnr: OutputScores | None = None

    @torch.no_grad()
    def __call__(self, outputs: Tensor, references: Tensor | None = None, without: Tensor | None = None) -> GamingCheck:
        """Return numbers for a logger, and the alarm.

        Args:
            outputs: ``(N, 3, H, W)``, N at least 6, in the criterion's ``input_range``, always for the same inputs; at
                the first call, those after the pixel training, before the first step with the loss.
            references: clean images of the same shape, if there are any.
            without: outputs, after as many steps, of a network trained alike but without the loss. They replace those
                of the first and the best call, and 0.2 dB replaces ``allow_db``; PSNR and most scores count only if the
                loss is lower.
        """
        _check_outputs(outputs)
        if without is not None and references is None:
            raise CLIPIQAError(
                "without is compared with outputs by PSNR to the references, but there are none: pass references."
            )
        scores = self._scorer.scores(outputs, references)
        first = self._first or _Call(outputs.clone(), scores)
        compared_outputs = first.outputs if without is None else without
        self._scorer.check_range(compared_outputs)  # later outputs may overshoot: that is for the alarm to say
        _check_same_images(outputs, scores, first, compared_outputs)
        if self._lowest_of_clean is None and references is not None:
            self._lowest_of_clean = self._scorer.lowest_loss(references)
        compared_scores = first.scores if without is None else self._scorer.scores(without, references)
        self._first = first
        self._call_count += 1
        numbers = self._numbers(outputs, scores, first, compared_scores)
        if without is None:
            sentence = self._alarm_since_first(scores, first.scores) or self._alarm_since_best(scores)
        else:
            sentence = self._alarm_beside(scores, compared_scores)
        self._note_best(scores)
        return GamingCheck(numbers, sentence)

    def _numbers(
        self, outputs: Tensor, scores: OutputScores, first: _Call, compared_scores: OutputScores
    ) -> dict[str, float]:
        """Return the numbers of a :class:`GamingCheck`."""
        numbers = {name: values.mean().item() for name, values in scores.items()}
        numbers["psnr to start"] = self._scorer.psnr(outputs, first.outputs).mean().item()
        if self._lowest_of_clean is not None:
            numbers["above clean"] = self._share_above_clean(scores)
        if "psnr" in scores:
            numbers["psnr gain"] = numbers["psnr"] - compared_scores["psnr"].mean().item()
        return numbers

    def _alarm_since_first(self, scores: OutputScores, first_scores: OutputScores) -> str:
        """Return the alarm on outputs that differ from those of the first call; empty if there is none."""
        changes = self._clear_changes(first_scores, scores)
        reasons = _reasons_of_worse_scores(changes, len(scores))
        fall = _clear_fall_of_psnr(first_scores, scores)
        if fall > self.allow_db:
            reasons.append(f"PSNR is {fall:.2f} dB lower")
        reasons += self._reasons_of_odd_outputs(changes, scores)
        return _alarm("the first call", reasons, _change_of_loss(first_scores, scores))

    def _alarm_beside(self, scores: OutputScores, others: OutputScores) -> str:
        """Return the alarm on outputs that differ from those of a training without the loss; empty if there is none."""
        changes = self._clear_changes(others, scores)
        change_of_loss = _change_of_loss(others, scores)
        reasons = []
        if change_of_loss < 0:  # otherwise the loss is not to blame: two trainings end at different points
            reasons += _reasons_of_worse_scores(changes, len(scores))
            fall = -changes.get("psnr", 0)
            if fall > BEHIND_DB:
                reasons.append(f"PSNR is {fall:.2f} dB lower")
        reasons += self._reasons_of_odd_outputs(changes, scores)
        return _alarm("the training without the loss", reasons, change_of_loss)

    def _alarm_since_best(self, scores: OutputScores) -> str:
        """Return the alarm if PSNR fell since it was highest, and the loss with it; honest trainings waver too."""
        if self._scores_at_best_psnr is None:
            return ""
        changes = self._clear_changes(self._scores_at_best_psnr, scores)
        fall = -changes.get("psnr", 0)
        fall_of_loss = changes.get("loss", 0)
        if fall <= self.allow_db or fall_of_loss <= 0:
            return ""
        return _alarm("the best call so far", [f"PSNR is {fall:.2f} dB lower"], -fall_of_loss)

    def _reasons_of_odd_outputs(self, changes: dict[str, float], scores: OutputScores) -> list[str]:
        """Return what is suspicious in the outputs whatever their PSNR: too low a loss, and a common pattern."""
        reasons = []
        share_above_clean = self._share_above_clean(scores)
        if share_above_clean > 0.5 and changes.get("loss", 0) > 0:
            reasons.append(f"{share_above_clean:.0%} of the outputs are better than every clean photo")
        if changes.get("fixed pattern", 0) < -1:
            reasons.append("all outputs have the same pattern")
        return reasons

    def _share_above_clean(self, scores: OutputScores) -> float:
        """Return the share of outputs whose loss is lower than that of any clean photo; 0 without such photos."""
        if self._lowest_of_clean is None:
            return 0.0
        return (scores["loss"] < self._lowest_of_clean).double().mean().item()

    def _clear_changes(self, before: OutputScores, now: OutputScores) -> dict[str, float]:
        """Return the changes of means that chance does not explain, above 0 if better."""
        # the levels of all calls add up to LEVEL, but stay above the lowest p of so many images, 2 / 2^N
        level_of_call = LEVEL / (self._call_count * (self._call_count + 1))
        level = min(LEVEL, max(level_of_call, 2.0 ** (2 - len(now["loss"]))))
        changes = {}
        for name, values in now.items():
            change = mean_difference(values, before[name])
            if change.p < level:
                changes[name] = -change.value if name in self._scorer.lower_better else change.value
        return changes

    def _note_best(self, scores: OutputScores) -> None:
        """Remember the scores of the call with the highest PSNR."""
        if "psnr" not in scores:
            return
        best = self._scores_at_best_psnr
        if best is None or scores["psnr"].mean() > best["psnr"].mean():
            self._scores_at_best_psnr = scores


def _check_outputs(outputs: Tensor) -> None:
    if not isinstance(outputs, Tensor):
        raise CLIPIQAError(f"outputs must be a tensor (N, 3, H, W); got {shown(outputs)}.")
    if len(outputs) < cases_needed(1):
        raise CLIPIQAError(
            f"outputs must be at least {cases_needed(1)} images, better 16: with fewer, any change may be chance; "
            f"got {len(outputs)}."
        )


def _check_same_images(outputs: Tensor, scores: OutputScores, first: _Call, compared_outputs: Tensor) -> None:
    """Raise ``CLIPIQAError`` for other images than at the first call, or if only one of the calls has references."""
    if not first.outputs.shape == outputs.shape == compared_outputs.shape or first.scores.keys() != scores.keys():
        raise CLIPIQAError(
            f"outputs must be for the images of the first call, of shape {tuple(first.outputs.shape)}, and references "
            f"must be given in all calls or in none; got {tuple(outputs.shape)} and {tuple(compared_outputs.shape)}."
        )


def _reasons_of_worse_scores(changes: dict[str, float], score_count: int) -> list[str]:
    """Return a phrase if most scores got worse while PSNR did not rise."""
    worse = [name for name, change in changes.items() if change < 0]
    has_risen = changes.get("psnr", 0) > 0
    return [f"{', '.join(worse)} got worse"] if len(worse) > score_count / 2 and not has_risen else []


def _change_of_loss(before: OutputScores, now: OutputScores) -> float:
    return (now["loss"] - before["loss"]).mean().item()


def _clear_fall_of_psnr(before: OutputScores, now: OutputScores) -> float:
    """Return by how many dB the mean PSNR fell; 0 if that is not clear, or there is no PSNR.

    No later call needs a stricter test here: the images are the same in all calls, and what wavers from call to call is
    below the fall that is allowed.
    """
    if "psnr" not in now:
        return 0.0
    gains = now["psnr"] - before["psnr"]
    has_lower_loss = _change_of_loss(before, now) < 0
    is_fall_of_most = (gains < 0).double().mean() > 0.5
    is_clear = (has_lower_loss and is_fall_of_most) or mean_difference(now["psnr"], before["psnr"]).p < LEVEL
    return max(0.0, -gains.mean().item()) if is_clear else 0.0


def _alarm(compared_with: str, reasons: Sequence[str], change_of_loss: float) -> str:
    """Return the alarm as a sentence; empty without a reason."""
    if not reasons:
        return ""
    loss = f"and the loss is {change_of_loss:.3g} higher"
    if change_of_loss < 0:
        loss = f"while the loss is {-change_of_loss:.3g} lower"
    return f"Compared with {compared_with}, {' and '.join(reasons)}, {loss}: {_ADVICE}."
