"""``clipiqa map``: maps of local scores."""

import os
from pathlib import Path

from ...files.printable import printable
from ..options import SharedOptions
from .options.groups import Model, Questions, check_inputs, start
from .options.terminal import frame_as_text, note, progress, tell


def run(
    paths: list[str],
    questions: Questions,
    model: Model,
    images: SharedOptions,
    *,
    smooth: bool = True,
    scale: float = 1.0,
    out: Path | None = None,
    pictures: str = "png",
    html: bool = False,
    overwrite: bool = False,
    quiet: bool = False,
) -> int:
    """Draw maps of where photos look good and where they do not.

    --out DIR receives a picture and PHOTO.npz (the numbers) for each photo. A place is a square of 32 px (with vision
    transformers, a patch); docs/maps.md explains its score.

    examples:
      clipiqa map photos/ --prompts sharpness noisiness quality --out maps/ --html

    Args:
        paths (PHOTO): files, folders or quoted globs
        smooth: replace each score by the mean of 3×3 places
        scale: enlarge photos first by this factor, 1 to 8
        out (-o DIR): folder for pictures and numbers
        pictures (KIND): png, svg or pdf
        html: also write maps.html, a page of all maps
        overwrite: replace what is in --out
        quiet (-q): show no progress bar and no summary
    """
    metric = questions.asked(model)
    if not any(map(os.path.lexists, paths)):
        check_inputs(paths)
    device = start(images)
    import pandas

    from ..maps.photos import draw_maps
    from ..metrics.building import build

    with progress("photo") as show:
        found = draw_maps(
            lambda: build(metric, device).net,
            paths,
            metric.questions,
            smooth=smooth,
            scale=scale,
            out=out,
            html=html,
            overwrite=overwrite,
            progress=show,
            device=device,
            **images.keywords() | {"pictures": pictures},
        )
    rows = [
        (printable(one.path), question.name, score, worst)
        for one in found.maps
        for question, score, worst in one.rows()
    ]
    if rows:
        print(frame_as_text(pandas.DataFrame(rows, columns=["photo", "question", "score", "worst place"])))
    tell(*found.failed.values())
    if out is not None and found.maps:
        note(f"results are in {out}")
    return 1 if found.failed else 0
