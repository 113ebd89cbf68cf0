"""All maps on one self-contained HTML page, on which places can be pointed at and the worst ones marked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from markupsafe import Markup
from matplotlib.colors import to_hex

from ..files.names import one_line, printable
from ..prompts.provenance import in_words
from ..report.html import embedded, render
from .picture import COLOURS, STRENGTH, caption, picture_of

if TYPE_CHECKING:
    from .results import PhotoMap, PhotoMaps

_JPEG_QUALITY = 88


def map_page(found: PhotoMaps) -> str:
    """The page: every photo with its maps laid over it, the numbers beside it, and which CLIP-IQA made them.

    Moving over a photo, or the arrow keys, tell the local scores; a slider sets how strong the colours are, and another
    the score below which places are outlined. Without JavaScript the photos and their numbers are still there.
    """
    questions = found.maps[0].questions
    scale = matplotlib.colormaps[COLOURS](np.linspace(0, 1, 64))
    return render(
        __package__,
        "maps.html.j2",
        title="Where in the image: local CLIP-IQA scores",
        caption=caption(found.provenance),
        questions=questions,
        strength=round(100 * STRENGTH),
        photos=[
            {
                "name": Path(printable(one.path)).name,
                "image": picture(one, found),
                "rows": list(zip(questions, one.score.tolist(), one.statistics.tolist(), strict=True)),
                "one": one,
            }
            for one in found.maps
        ],
        failed=[one_line(reason) for reason in found.failed.values()],
        provenance=in_words(found.provenance),
        data={
            "questions": [{"name": one.name, "low": one.low, "high": one.high} for one in questions],
            "colours": [to_hex(colour) for colour in scale],
            "photos": [numbers(one) for one in found.maps],
        },
    )


def picture(one: PhotoMap, found: PhotoMaps) -> Markup:
    name = one_line(Path(printable(one.path)).name)
    return embedded(picture_of(one, found.provenance), name, format="JPEG", quality=_JPEG_QUALITY, optimize=True)


def numbers(one: PhotoMap) -> dict[str, Any]:
    """What the page's script needs to know of a photo."""
    return {
        **{"height": one.height, "width": one.width, "offset": one.offset, "step": one.step},
        **{"rows": one.scores.shape[1], "columns": one.scores.shape[2]},
        "scores": [[round(value, 4) for value in places.ravel().tolist()] for places in one.scores],
    }
