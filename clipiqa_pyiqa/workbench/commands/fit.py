"""``clipiqa fit``: fit a metric to rated photos."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from ...errors import OptionError
from ...text import counted
from .options.console_tables import frame_as_text
from .options.groups import Settings
from .options.learning import Learning, creation

if TYPE_CHECKING:
    import pandas

    from ..learning.fit_result import FitResult


def run(
    scores: Annotated[str, Parameter(metavar="CSV|NAME")],
    /,
    *,
    out: Annotated[Path, Parameter(alias="-o", metavar="FILE")],
    overwrite: bool = False,
    method: Literal["affine", "ridge", "auto"] = "auto",
    fit_on: Literal["features", "stages"] = "features",
    prompts: Annotated[str | None, Parameter(alias="-p", metavar="PAIR")] = None,
    own_scale: bool = False,
    without_mini_photos: bool = False,
    splits: int = 0,
    splits_out: Annotated[Path | None, Parameter(metavar="FILE")] = None,
    seed: int = 123,
    learning: Learning = Learning(),
    settings: Settings = Settings(),
) -> int:
    """Fit a metric to a few rated photos of your own, in seconds.

    examples:
      clipiqa fit scores.csv --out head.safetensors --range 1 5 --own-scale
      clipiqa fit scores.csv --out head.safetensors --backbone mini --fit-on stages

    Args:
        scores: a CSV file of paths and scores, or a data set
        out: write the head to this .safetensors file
        overwrite: replace an existing --out
        method: affine: a linear function of the zero-shot score, for 3 photos or more; ridge: the same plus a linear
            function of all features, 6 or more; auto: ridge if cross-validation finds it clearly better, 10 or more
        fit_on: features, or stages (statistics of the image tower's stages)
        prompts: the pair of the zero-shot score: a name or 'positive|negative'; default: quality
        own_scale: predict scores in the range of the given scores, not in 0 to 1
        without_mini_photos: leave out mini's training photos
        splits: also fit to 80 % and predict the rest, for this many random splits
        splits_out: write the random splits to this CSV file
        seed: seed of folds, splits and held-out photos
        learning.opinions.val_fraction: share of images to hold out if there is no split column; default: none
        learning.model.backbone: RN50, mini (bundled), … (see `clipiqa weights`); default: RN50
    """
    _check_outputs(out, splits_out, splits, overwrite)
    # cross-validation needs no split
    table = learning.opinions.table(scores, seed, needed=("train",), val_fraction=0.0)
    options = learning.start()
    from ...metric import CLIPIQA
    from ..files.locking import locked
    from ..learning.fit import fit

    with locked(out):
        _check_outputs(out, splits_out, splits, overwrite)  # another run may have ended in the meantime
        result = fit(
            table,
            method=method,
            fit_on=fit_on,
            own_scale=own_scale,
            metric=CLIPIQA(prompts=prompts, **learning.model.chosen_options()),
            seed=seed,
            splits=splits,
            without_mini_photos=without_mini_photos,
            **options,
        )
        result.save(out)
        if splits_out is not None:
            result.save_splits(splits_out)
    print(f"{table.name}: fitted to {result.head.metadata['rated_photos']} rated photos, on {fit_on}")
    print(frame_as_text(_agreements(result, table.score_range if own_scale else (0, 1))))
    finding = "found" if result.head.method == "ridge" else "did not find"
    why = f": cross-validation {finding} ridge clearly better" if method == "auto" else ""
    print(f"The method is {result.head.method}{why}.")
    print(f"judgement: {result.judgement}")
    print(
        f"rank photos with it (score, gate and compare take it, too):\nclipiqa rank photos/ -m {shlex.quote(str(out))}"
    )
    call = creation("clipiqa+", pretrained_model_path=str(out.resolve()), **learning.model.chosen_options())
    print(f"load it with:\n{call}")
    return 0


def _check_outputs(out: Path, splits_out: Path | None, splits: int, overwrite: bool) -> None:
    from ...files import check_output

    check_output(out, overwrite=overwrite)
    if out.suffix != ".safetensors":
        raise OptionError(f"--out must be a .safetensors file; got {str(out)!r}.")
    if splits_out is not None:
        if splits < 1:
            raise OptionError("--splits-out has no splits to write: also give their number, such as --splits 10.")
        check_output(splits_out, overwrite=overwrite)


def _agreements(result: FitResult, score_range: tuple[float, float]) -> pandas.DataFrame:
    """Return a row for each agreement: zero-shot, cross-validation, held-out images and random splits."""
    import numpy as np
    import pandas

    rows = [("zero-shot", *result.before["train"])]
    rows += [(f"cross-validation, {name}", *agreement) for name, agreement in result.cross_validation.items()]
    for split, agreement in result.held_out.items():
        images = counted(len(result.table.part(split)), f"{split} image")
        rows += [(f"{images}, zero-shot", *result.before[split]), (images, *agreement)]
    if result.splits:
        counts = sorted({len(tested_rows) for tested_rows in result.drawn})
        photos = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
        title = f"{len(result.splits)} random splits that test {photos} photos each"
        for name, reduced in (("median", np.median), ("lowest", np.min), ("highest", np.max)):
            rows.append((f"{title}, {name}", *reduced(result.splits, axis=0)))
    low, high = score_range
    frame = pandas.DataFrame(rows, columns=["", "SROCC", "PLCC", f"RMSE (scores from {low:g} to {high:g})"])
    frame.iloc[:, 3] *= high - low
    return frame
