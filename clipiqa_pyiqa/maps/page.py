"""All maps on one self-contained HTML page, on which places can be pointed at and the worst ones marked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.colors import to_hex

from ..files.names import printable
from ..prompts.provenance import in_words
from ..report.html import embedded, render
from .photo_map import PhotoMap
from .picture import COLOURS, STRENGTH, caption, picture_of


def map_page(maps: Sequence[PhotoMap], failed: Mapping[str, str], provenance: Mapping[str, Any]) -> str:
    """Return the page: every photo with its maps laid over it, the numbers beside it, and the provenance.

    Moving over a photo, or the arrow keys, tell the local scores; a slider sets how strong the colours are, and another
    the score below which places are outlined. Without JavaScript the photos and their numbers are still there.
    """
    questions = maps[0].questions
    scale = matplotlib.colormaps[COLOURS](np.linspace(0, 1, 64))
    return render(
        __package__,
        "maps.html.j2",
        title="Where in the image: local CLIP-IQA scores",
        caption=caption(provenance),
        questions=questions,
        strength=round(100 * STRENGTH),
        photos=[
            {
                "name": (name := Path(printable(one.path)).name),
                "image": embedded(picture_of(one, provenance), name, format="JPEG", quality=88, optimize=True),
                "rows": list(zip(questions, one.score.tolist(), one.statistics.tolist(), strict=True)),
                "one": one,
            }
            for one in maps
        ],
        failed=list(failed.values()),
        provenance=in_words(provenance),
        data={
            "questions": [{"name": one.name, "low": one.low, "high": one.high} for one in questions],
            "colours": [to_hex(colour) for colour in scale],
            "photos": [_numbers(one) for one in maps],
        },
    )


def _numbers(one: PhotoMap) -> dict[str, Any]:
    """Return what the page's script needs to know of a photo."""
    return {
        "height": one.height,
        "width": one.width,
        "offset": one.offset,
        "step": one.step,
        "rows": one.scores.shape[1],
        "columns": one.scores.shape[2],
        "scores": [[round(value, 4) for value in places.ravel().tolist()] for places in one.scores],
    }
