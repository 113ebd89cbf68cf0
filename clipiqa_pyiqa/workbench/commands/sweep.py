"""``clipiqa sweep``: score images that change in steps."""

from collections.abc import Sequence

from .options.groups import Experiment


def run(
    paths: list[str],
    run: Experiment,
    *,
    changes: list[str] | None = None,
    steps: int = 9,
    scales: Sequence[float] = (),
) -> int:
    """Test whether scores follow brightness, noise, colour, sharpness and contrast, changed in steps (paper's Fig. 4).

    The table has Spearman's correlation between score and step for each change and scale. Each change asks the question
    of the same name.

    examples:
      clipiqa sweep photos/ --changes brightness sharpness --steps 15 --scales 1 0.5 0.25 --out sweep/

    Args:
        paths (IMAGE): images, folders or quoted globs
        changes: changes to make; default: brightness noisiness colorfulness sharpness contrast
        steps: steps, from the least to the most of the attribute
        scales: factors that resize images first; default: 1 and 0.5
    """
    given = {name: value for name, value in {"changes": changes, "scales": scales}.items() if value}
    return run.report("sweep", paths, steps=steps, **given)
