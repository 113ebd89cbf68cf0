"""Whether low or high values of a column are good, by its file, its name or the caller."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass

from ...errors import CLIPIQAError
from .scores import Scores

LOWER_BETTER = (
    "lpips lpips-vgg lpips+ lpips-vgg+ stlpips stlpips-vgg dists deepdc gmsd nlpd mad piqe niqe niqe_matlab ilniqe "
    "brisque brisque_matlab pi pieapp msswd fid sfid fid_dinov2 afine_nr afine_fr afine_all_scale afine_all"
)
HIGHER_BETTER = (
    "ahiq ckdn ssim ssimc psnr psnry fsim ms_ssim vif vsi cw_ssim nrqm cnniqa musiq musiq-ava musiq-paq2piq "
    "musiq-spaq nima nima-koniq nima-spaq nima-vgg16-ava paq2piq dbcnn maniqa maniqa-pipal maniqa-kadid clipiqa "
    "clipiqa+ clipiqa+_vitL14_512 clipiqa+_rn50_512 fgresq fgresq_pair tres tres-flive hyperiqa metaiqa uranker "
    "clipscore entropy topiq_nr topiq_nr-flive topiq_nr-spaq topiq_nr-face topiq_nr_swin-face topiq_nr-face-v1 "
    "topiq_fr topiq_fr-pipal topiq_iaa topiq_iaa_res50 laion_aes liqe liqe_mix wadiqam_fr wadiqam_nr qalign "
    "qalign_8bit qalign_4bit qrealign qrealign-mini qrealign-lite qrealign-pro compare2score unique arniqa "
    "arniqa-live arniqa-csiq arniqa-tid arniqa-kadid arniqa-clive arniqa-flive arniqa-spaq dmm maclip qualiclip "
    "qualiclip+ qualiclip+-clive qualiclip+-flive qualiclip+-spaq inception_score"
)
"""Names of pyiqa's metrics, also for machines without pyiqa."""
_ALSO_LOWER = "lpips-alex lpips_alex lpips_vgg mse rmse mae l1 l2 error loss distance dmos kid fvd"
_ALSO_HIGHER = "psnr-y psnr_y psnr-rgb psnr_rgb ssim-y ssim_y ssim-rgb ssim_rgb mos vmaf"
"""Well-known scores that pyiqa does not have, or not under this name."""
_KNOWN = {
    **dict.fromkeys(f"{LOWER_BETTER} {_ALSO_LOWER}".lower().split(), True),
    **dict.fromkeys(f"{HIGHER_BETTER} {_ALSO_HIGHER}".lower().split(), False),
}


@dataclass(frozen=True)
class Direction:
    """Whether low scores are good, and the reason."""

    lower_better: bool
    because: str

    def __str__(self) -> str:
        return f"{'lower' if self.lower_better else 'higher'} is better ({self.because})"


def direction_by_name(column: str) -> bool | None:
    """Return whether low scores are good, if an arrow at the end or the whole name tells; None otherwise."""
    name = column.lower().strip()
    if name.endswith("↓"):
        return True
    if name.endswith("↑"):
        return False
    return _KNOWN.get(name)


def known_word(column: str) -> str:
    """Return a known score's name that stands beside other words, as in ``ssim_loss``, or ``''``.

    The other words may turn its direction round.
    """
    if direction_by_name(column) is not None:
        return ""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", column).lower()  # ssimLoss, SSIMLoss
    names = "|".join(re.escape(name) for name in sorted(_KNOWN, key=len, reverse=True))
    match = re.search(rf"(?<![a-z0-9])({names})(?![a-z0-9])", spaced)
    return match[1] if match else ""


def find_direction(runs: Sequence[Scores], column: str, option: bool | None = None) -> Direction:
    """Return a column's direction; ``option`` is the option ``lower_better``, or None if it is not set."""
    if option is None:
        _check_scales(runs, column)
    by_file = _direction_by_file(runs, column, option)
    if by_file is not None:
        return by_file
    if option is not None:
        return Direction(option, "as the option says")
    by_name = direction_by_name(column)
    if by_name is None:
        _check_is_of_others(runs, column)
    if by_name is not None:
        return Direction(by_name, "by its name")
    word = known_word(column)
    if word:
        raise CLIPIQAError(
            f"nothing says whether a low or a high {column!r} is good, as {word!r} is not its whole name: pass "
            "{lower_better} or {higher_better}, or name other columns (`{by}`).",
            options=("higher_better", "lower_better", "by"),
        )
    return Direction(False, "assumed, as its name is unknown; if wrong, say that lower is better")


def _direction_by_file(runs: Sequence[Scores], column: str, option: bool | None) -> Direction | None:
    """Return the direction that the first file tells, or the option's, if it is another; None: no file tells."""
    for run in runs:
        lower_better = run.columns[column].lower_better if column in run.columns else None
        if lower_better is None:
            continue
        name = os.path.basename(run.file) or "the metric"
        if option is None or option == lower_better:
            return Direction(lower_better, f"as {name} says")
        return Direction(option, f"as the option says, unlike {name}")
    return None


def _check_scales(runs: Sequence[Scores], column: str) -> None:
    """Raise ``CLIPIQAError`` if a file of ours has lost the scales of its columns.

    Users name our columns as they like: without the file's scales, even a known name may stand for another metric.
    """
    for run in runs:
        if run.is_ours and not run.columns:
            raise _unknown_direction(run, column)


def _check_is_of_others(runs: Sequence[Scores], column: str) -> None:
    """Raise ``CLIPIQAError`` if a file of ours, which tells its columns' directions, does not tell this one's."""
    for run in runs:
        if run.is_ours:
            raise _unknown_direction(run, column)


def _unknown_direction(run: Scores, column: str) -> CLIPIQAError:
    return CLIPIQAError(
        f"{run.file!r} does not say whether a low or a high {column!r} is good: pass {{lower_better}} or "
        "{higher_better}.",
        options=("lower_better", "higher_better"),
    )
