"""``clipiqa map``: maps of local scores."""

import os
from typing import Annotated, Literal

from cyclopts import Parameter

from ...checks import check_whole
from ...text import printable
from ..options import LARGEST_BATCH, Machine, Reading
from .options.console_tables import frame_as_text
from .options.flags import MACHINE, RARE
from .options.groups import OutFolder, Quiet, Settings
from .options.messages import note, tell
from .options.metric_options import Model, Questions
from .options.progress import progress
from .options.running import check_inputs, start


def run(
    *paths: Annotated[str, Parameter(metavar="PHOTO", required=True)],
    questions: Questions = Questions(),
    model: Model = Model(),
    out: OutFolder = None,
    html: bool = False,
    overwrite: bool = False,
    smooth: Annotated[bool, Parameter(negative_bool="no-")] = True,
    scale: float = 1.0,
    pictures: Annotated[Literal["png", "svg", "pdf"], Parameter(group=RARE)] = "png",
    quiet: Quiet = False,
    reading: Reading = Reading(),
    machine: Machine = Machine(),
    batch_size: Annotated[int, Parameter(group=MACHINE)] = 8,
    settings: Settings = Settings(),
) -> int:
    """Draw maps of where photos look good and where they do not.

    --out DIR receives a picture and PHOTO.npz (the numbers) for each photo. A place is a square of 32 px (with vision
    transformers, a patch); docs/maps.md explains its score.

    examples:
      clipiqa map photo.jpg --prompts sharpness --out maps/
      clipiqa map photos/ --prompts sharpness noisiness quality --out maps/ --html

    Args:
        paths: files, folders or quoted globs
        smooth: replace each score by the mean of 3×3 places
        scale: enlarge photos first by this factor, 1 to 8
        out: folder for pictures and numbers
        pictures: format of pictures
        html: also write maps.html, a page of all maps
        overwrite: replace what is in --out
        quiet: show no progress bar and no summary
        batch_size: images of equal size that are scored together
    """
    check_whole("batch_size", batch_size, 1, LARGEST_BATCH)
    metric = questions.described_clipiqa(model)
    if not any(map(os.path.lexists, paths)):
        check_inputs(paths)
    device = start(machine)
    import pandas

    from ..maps.photos import draw_maps
    from ..metrics.building import build_clipiqa

    with progress("photo") as show:
        drawn = draw_maps(
            lambda: build_clipiqa(metric, device).net,
            paths,
            metric.questions,
            smooth=smooth,
            scale=scale,
            out=out,
            html=html,
            overwrite=overwrite,
            progress=show,
            device=device,
            pictures=pictures,
            batch_size=batch_size,
            workers=machine.workers,
            **vars(reading),
        )
    rows = [
        (printable(photo_map.path), question.name, score, worst)
        for photo_map in drawn.maps
        for question, score, worst in photo_map.rows()
    ]
    if rows:
        print(frame_as_text(pandas.DataFrame(rows, columns=["photo", "question", "score", "worst place"])))
    tell(*drawn.failed.values())
    if out is not None and drawn.maps:
        note(f"results are in {out}")
    return 1 if drawn.failed else 0
