"""``clipiqa pairs``: whether the better of two versions of a picture scores higher (the paper's Fig. 5)."""

from __future__ import annotations

from .options.experiment import AskingRun


def run(low: str, high: str, run: AskingRun, *, skip_unpaired: bool = False, count: int = 10) -> int:
    """Whether the better of two versions of a picture scores higher (the paper's Fig. 5).

    Images pair up by their path within the two folders, without suffix. Where names differ, give quoted patterns: they
    pair by what their wildcards match. The table says for each question how many pairs are in the right order, with
    Wilson's 95 % interval; the mean difference, high less low, with Student's; and p of Wilcoxon's signed-rank test.
    --out DIR receives pairs.csv (every pair), pairs.png (low against high) and failures-QUESTION.png, the worst
    failures.

    examples:
      clipiqa pairs LOL/eval15/low LOL/eval15/high --prompts brightness --out lol/
      clipiqa pairs 'PolyU/CroppedImages/*_real.JPG' 'PolyU/CroppedImages/*_mean.JPG' --prompts noisiness
      clipiqa pairs 'RealBlur/*/blur/blur_*.png' 'RealBlur/*/gt/gt_*.png' --prompts sharpness

    Args:
        low (LOW): folder, or quoted pattern, of the low-quality images
        high (HIGH): of the high-quality ones, such as ground truth
        run: how images are scored
        skip_unpaired: leave out images without a partner
        count: failures to show
    """
    from ..experiments.image_pairs import pairs

    return run.report(pairs, low, high, run.asked(), skip_unpaired=skip_unpaired, count=count)
