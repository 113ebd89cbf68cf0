"""An alarm for training that games the metric: the optimised score rises while images do not get better."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from ...checks import check_list, check_number
from ...errors import CLIPIQAError
from ...loss import CLIPIQALoss
from ...metric import CLIPIQA
from ...prompts.named_pairs import NAMED_PAIRS
from ...pyiqa_package import import_pyiqa
from ...reward import psnr
from ...text import shown
from ..stats.mean_differences import mean_difference
from ..stats.significance import cases_needed

PROMPTS = ("quality", "sharpness", "noisiness")
LEVEL = 0.05  # probability that chance confirms a change of a score in any of the calls
_ADVICE = "lower the loss's weight, or stop earlier"
BEHIND_DB = 0.2  # lag behind a training without the loss that is no alarm


@dataclass(frozen=True)
class Look:
    """What :class:`GamingAlarm` found.

    Attributes:
        numbers: Means over the images; ``fixed pattern`` is the power of details that are in all images at the same
            place, in squares of 8-bit levels, and ``psnr gain`` is in dB over ``without``, or else the first call.
        sentence: The alarm, or empty.
    """

    numbers: dict[str, float]
    sentence: str


class GamingAlarm:
    """Alarm that compares a network's outputs in training with its first and its best, or with a run without the loss.

    It goes off if one of these holds: the loss fell, and most outputs have a lower one than any clean photo; PSNR to
    the references fell by more than ``allow_db``, since the first call, or since the call where it was highest while
    the loss fell; all outputs have the same fine pattern; most scores (the loss, other prompts, metrics of pyiqa) got
    worse while PSNR did not rise. A fall of PSNR since the first call counts if the loss fell too and most images lost
    PSNR, or else if a paired test over the images confirms it (p < 0.05). Every other change counts if the test
    confirms it at a level that becomes stricter with each call, so that in about 5 % of runs with 16 images or more,
    chance alone does so for a given score. Pass at least 16, of different scenes.

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
        self._criterion = copy.copy(criterion)  # a shallow copy: the network is shared
        self._criterion.loss_weight, self._criterion.reduction = 1.0, "none"
        self._criterion.share, self._criterion.nan = None, "raise"
        self.allow_db, self._looks = allow_db, 0
        self._lowest_of_clean = None if clean is None else self._lowest_loss(clean)
        self._judges = {name: import_pyiqa().create_metric(name, device="cpu") for name in judges}
        self._lower_better = {"loss", "fixed pattern"} | {k for k, v in self._judges.items() if v.lower_better}
        self._first: tuple[Tensor, dict[str, Tensor]] | None = None
        self._best: dict[str, Tensor] | None = None  # scores of the call with the highest PSNR

    @torch.no_grad()
    def __call__(self, outputs: Tensor, references: Tensor | None = None, without: Tensor | None = None) -> Look:
        """Return numbers for a logger, and the alarm.

        Args:
            outputs: ``(N, 3, H, W)``, N at least 6, in the criterion's ``input_range``, always for the same inputs; at
                the first call, those of the network before the loss is used.
            references: clean images of the same shape, if there are any.
            without: outputs, after as many steps, of a network trained alike but without the loss. They replace those
                of the first and the best call, and 0.2 dB replaces ``allow_db``; PSNR and most scores count only if the
                loss is lower.
        """
        if not isinstance(outputs, Tensor):
            raise CLIPIQAError(f"outputs must be a tensor (N, 3, H, W); got {shown(outputs)}.")
        if len(outputs) < cases_needed(1):
            raise CLIPIQAError(
                f"outputs must be at least {cases_needed(1)} images, better 16: with fewer, any change may be chance; "
                f"got {len(outputs)}."
            )
        if without is not None and references is None:
            raise CLIPIQAError(
                "without is compared with outputs by PSNR to the references, but there are none: pass references."
            )
        now = self._scores(outputs, references)
        start, first = self._first or (outputs.clone(), now)
        others = start if without is None else without
        self._criterion.metric.check(self._unit(others))  # later outputs may overshoot: that is for the alarm to say
        if not start.shape == outputs.shape == others.shape or first.keys() != now.keys():
            raise CLIPIQAError(
                f"outputs must be for the images of the first call, of shape {tuple(start.shape)}, and references must "
                f"be given in all calls or in none; got {tuple(outputs.shape)} and {tuple(others.shape)}."
            )
        self._first = start, first
        numbers = {name: values.mean().item() for name, values in now.items()}
        numbers["psnr to start"] = self._psnr(outputs, start).mean().item()
        if self._lowest_of_clean is None and references is not None:
            self._lowest_of_clean = self._lowest_loss(references)
        if self._lowest_of_clean is not None:
            numbers["above clean"] = (now["loss"] < self._lowest_of_clean).double().mean().item()
        self._looks += 1
        base = first if without is None else self._scores(without, references)
        sentence = self._sentence(base, now, numbers.get("above clean", 0), without is not None)
        if references is not None:
            numbers["psnr gain"] = numbers["psnr"] - base["psnr"].mean().item()
            if not sentence and without is None:
                sentence = self._fall_since_best(now)
            if self._best is None or now["psnr"].mean() > self._best["psnr"].mean():
                self._best = now
        return Look(numbers, sentence)

    def _sentence(
        self, base: dict[str, Tensor], now: dict[str, Tensor], above_clean: float, is_beside_another: bool
    ) -> str:
        changes = self._changes(base, now)
        changed = (now["loss"] - base["loss"]).mean().item()
        gain_of_psnr = changes.get("psnr", 0)
        fall_of_psnr = -gain_of_psnr if is_beside_another else _clear_fall_of_psnr(base, now)
        reasons = []
        is_blamed = changed < 0 or not is_beside_another  # two trainings end at different points
        worse = [name for name, change in changes.items() if change < 0]
        if is_blamed and gain_of_psnr <= 0 and len(worse) > len(now) / 2:
            reasons.append(f"{', '.join(worse)} got worse")
        if is_blamed and fall_of_psnr > (BEHIND_DB if is_beside_another else self.allow_db):
            reasons.append(f"PSNR is {fall_of_psnr:.2f} dB lower")
        if above_clean > 0.5 and changes.get("loss", 0) > 0:
            reasons.append(f"{above_clean:.0%} of the outputs are better than every clean photo")
        if changes.get("fixed pattern", 0) < -1:
            reasons.append("all outputs have the same pattern")
        if not reasons:
            return ""
        base_name = "the training without the loss" if is_beside_another else "the first call"
        return f"Compared with {base_name}, {' and '.join(reasons)}, {_change_of_loss(changed)}: {_ADVICE}."

    def _fall_since_best(self, now: dict[str, Tensor]) -> str:
        """Return the alarm if PSNR fell since it was highest, and the loss with it; honest trainings waver too."""
        if self._best is None:
            return ""
        changes = self._changes(self._best, now)
        fall = -changes.get("psnr", 0)
        gain_of_loss = changes.get("loss", 0)
        if fall <= self.allow_db or gain_of_loss <= 0:
            return ""
        fall_text = f"PSNR is {fall:.2f} dB lower, {_change_of_loss(-gain_of_loss)}"
        return f"Compared with the best call so far, {fall_text}: {_ADVICE}."

    def _changes(self, base: dict[str, Tensor], now: dict[str, Tensor]) -> dict[str, float]:
        """Return the changes of means that chance does not explain, above 0 if better."""
        # The levels of all calls add up to LEVEL, but stay above the lowest p of so many images, 2 / 2^N.
        level = min(LEVEL, max(LEVEL / (self._looks * (self._looks + 1)), 2.0 ** (2 - len(now["loss"]))))
        changes = {}
        for name, values in now.items():
            change = mean_difference(values, base[name])
            if change.p < level:
                changes[name] = change.value * (-1 if name in self._lower_better else 1)
        return changes

    def _lowest_loss(self, images: Tensor) -> float:
        self._criterion.metric.check(self._unit(images))
        return self._criterion(images).min().item()

    def _unit(self, images: Tensor) -> Tensor:
        low, high = self._criterion.input_range
        return (images - low) / (high - low)

    def _scores(self, outputs: Tensor, references: Tensor | None) -> dict[str, Tensor]:
        scores = {"loss": self._criterion(outputs)}
        metric = self._criterion.metric
        x = self._unit(outputs).clamp(0, 1)
        fine = 255 * (x - avg_pool2d(x, 9, 1, 4))[..., 8:-8, 8:-8].float()  # padding leaves patterns at borders
        scores["fixed pattern"] = (fine * (fine.mean(0) - fine / len(fine))).flatten(1).mean(1)
        if isinstance(metric, CLIPIQA):
            asked = {pair.texts[0] for pair in metric.prompts}
            others = [name for name in PROMPTS if NAMED_PAIRS[name].positive not in asked]
            scores |= dict(zip(others, metric(x, others, None).unbind(1), strict=True))
        scores |= {name: judge(x.float().cpu()).flatten() for name, judge in self._judges.items()}
        if references is not None:
            metric.check(self._unit(references))
            if references.shape != outputs.shape:
                raise CLIPIQAError(
                    f"references must have the outputs' shape {tuple(outputs.shape)}; got {tuple(references.shape)}."
                )
            scores["psnr"] = self._psnr(outputs, references)
        return {name: values.double().cpu() for name, values in scores.items()}

    def _psnr(self, outputs: Tensor, others: Tensor) -> Tensor:
        return torch.tensor([*map(psnr, self._unit(outputs), self._unit(others))])


def _change_of_loss(change: float) -> str:
    """Return how a loss differs from another, as a clause after worse numbers."""
    return f"while the loss is {-change:.3g} lower" if change < 0 else f"and the loss is {change:.3g} higher"


def _clear_fall_of_psnr(base: dict[str, Tensor], now: dict[str, Tensor]) -> float:
    """Return by how many dB the mean PSNR is lower than ``base``'s; 0 if that is not clear, or there is no PSNR.

    No later call needs a stricter test here: the images are the same in all calls, and what wavers from call to call is
    below the fall that is allowed.
    """
    if "psnr" not in now:
        return 0.0
    gains = now["psnr"] - base["psnr"]
    has_lower_loss = (now["loss"] - base["loss"]).mean() < 0
    is_fall_of_most = (gains < 0).double().mean() > 0.5
    is_clear = (has_lower_loss and is_fall_of_most) or mean_difference(now["psnr"], base["psnr"]).p < LEVEL
    return max(0.0, -gains.mean().item()) if is_clear else 0.0
