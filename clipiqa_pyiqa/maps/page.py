"""One self-contained HTML page of all maps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.colors import to_hex

from ..files.names import printable
from ..prompts.provenance import as_texts
from ..report.html import embedded, render
from .photo_map import PhotoMap
from .picture import COLOURS, STRENGTH, caption, picture_of


def map_page(maps: Sequence[PhotoMap], failed: Mapping[str, str]) -> str:
    questions = maps[0].questions
    scale = matplotlib.colormaps[COLOURS](np.linspace(0, 1, 64))
    return render(
        __package__,
        "maps.html.j2",
        title="Where in the image: local CLIP-IQA scores",
        caption=caption(maps[0]),
        questions=questions,
        strength=round(100 * STRENGTH),
        photos=[
            {
                "name": (name := Path(printable(one.path)).name),
                "image": embedded(picture_of(one), name, format="JPEG", quality=88, optimize=True),
                "rows": list(zip(questions, one.score.tolist(), one.statistics.tolist(), strict=True)),
                "one": one,
            }
            for one in maps
        ],
        failed=list(failed.values()),
        provenance=as_texts(maps[0].provenance),
        data={
            "questions": [{"name": one.name, "low": one.low, "high": one.high} for one in questions],
            "colours": [to_hex(colour) for colour in scale],
            "photos": [
                {
                    **{name: getattr(one, name) for name in ("height", "width", "step")},
                    **dict(zip(("rows", "columns"), one.scores.shape[1:], strict=True)),
                    "scores": [[round(value, 4) for value in places.ravel().tolist()] for places in one.scores],
                }
                for one in maps
            ],
        },
    )
