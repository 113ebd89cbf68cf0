"""``clipiqa fit``: fit a metric to rated photos."""

import shlex
from pathlib import Path
from typing import Literal

from ...errors import OptionError
from ...text import counted
from .options.groups import Learning, creation
from .options.terminal import frame_as_text, in_shell


def run(
    learning: Learning,
    scores: str,
    *,
    out: Path,
    overwrite: bool = False,
    method: Literal["affine", "ridge", "auto"] = "auto",
    fit_on: Literal["features", "stages"] = "features",
    prompts: str | None = None,
    own_scale: bool = False,
    without_mini_photos: bool = False,
    splits: int = 0,
    splits_out: Path | None = None,
    seed: int = 123,
) -> int:
    """Fit a metric to a few rated photos of your own, in seconds.

    affine is a linear function of the zero-shot score; ridge adds a linear function of all features; auto takes ridge
    if cross-validation finds it clearly better.

    examples:
      clipiqa fit scores.csv --out head.safetensors --range 1 5 --own-scale

    Args:
        scores (CSV|NAME): a CSV file of paths and scores, or a data set
        out (-o FILE): write the head to this .safetensors file
        overwrite: replace an existing --out
        method: affine, ridge or auto
        fit_on: features, or stages (statistics of the image tower's stages)
        prompts (-p PAIR): prompt pair of the zero-shot score; default: quality
        own_scale: predict scores in the range of the given scores, not in 0 to 1
        without_mini_photos: leave out mini's training photos
        splits: also fit to 80 % and predict the rest, for this many random splits
        splits_out (FILE): write the random splits to this CSV file
        seed: seed of folds, splits and held-out photos
    """
    from ...files.writing import check_output

    check_output(out, overwrite=overwrite)
    if out.suffix != ".safetensors":
        raise OptionError(f"--out must be a .safetensors file; got {str(out)!r}.")
    if splits_out is not None:
        if splits < 1:
            raise OptionError("--splits-out has no splits to write: also give their number, such as --splits 10.")
        check_output(splits_out, overwrite=overwrite)
    # cross-validation needs no split
    table = learning.table(scores, seed, needed=("train",), val_fraction=0.0)
    options = learning.start()
    import numpy as np
    import pandas

    from ...metric import CLIPIQA
    from ..learning.fit import fit

    result = fit(
        table,
        method=method,
        fit_on=fit_on,
        own_scale=own_scale,
        metric=CLIPIQA(prompts=prompts, **learning.given()),
        seed=seed,
        splits=splits,
        without_mini_photos=without_mini_photos,
        **options,
    )
    result.save(out)
    if splits_out is not None:
        result.save_splits(splits_out)
    print(f"{table.name}: fitted to {result.head.metadata['rated_photos']} rated photos, on {fit_on}")
    rows = [("zero-shot", *result.before["train"])]
    rows += [(f"cross-validation, {name}", *agreement) for name, agreement in result.cross_validation.items()]
    for split, agreement in result.held_out.items():
        images = counted(len(result.table.part(split)), f"{split} image")
        rows += [(f"{images}, zero-shot", *result.before[split]), (images, *agreement)]
    counts = sorted({len(rows) for rows in result.drawn})
    tested = " to ".join(map(str, counts[:1] + counts[1:][-1:])) + " photos each"
    for name, reduced in (("median", np.median), ("lowest", np.min), ("highest", np.max)):
        if result.splits:
            rows.append((f"{splits} random splits that test {tested}, {name}", *reduced(result.splits, axis=0)))
    low, high = table.score_range if own_scale else (0, 1)
    frame = pandas.DataFrame(rows, columns=["", "SROCC", "PLCC", f"RMSE (scores from {low:g} to {high:g})"])
    frame.iloc[:, 3] *= high - low
    print(frame_as_text(frame))
    found = "found" if result.head.method == "ridge" else "did not find"
    why = f": cross-validation {found} ridge clearly better" if method == "auto" else ""
    print(f"The method is {result.head.method}{why}.")
    print(f"judgement: {in_shell(str(result.judgement))}")
    print(
        f"rank photos with it (score, gate and compare take it, too):\nclipiqa rank photos/ -m {shlex.quote(str(out))}"
    )
    print(f"load it with:\n{creation('clipiqa+', pretrained_model_path=str(out.resolve()), **learning.given())}")
    return 0
