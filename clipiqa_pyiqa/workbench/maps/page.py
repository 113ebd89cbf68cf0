"""One self-contained HTML page of all maps."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.colors import to_hex

from ...prompts.provenance import as_texts
from ...text import printable
from ..report.html import embedded, render
from .photo_map import PhotoMap
from .pictures import COLOURS, STRENGTH, caption, small_photo


def map_page(maps: Sequence[PhotoMap], failed: Mapping[str, str]) -> str:
    """Return the page of maps of the same questions, and of photos without a map (path -> reason)."""
    first = maps[0]
    colours = matplotlib.colormaps[COLOURS](np.linspace(0, 1, 64))
    return render(
        __package__,
        "maps.html.j2",
        title="Where in the image: local CLIP-IQA scores",
        caption=caption(first),
        questions=first.questions,
        strength=round(100 * STRENGTH),
        photos=[_section(photo_map) for photo_map in maps],
        failed=failed,
        provenance=as_texts(first.provenance),
        data={
            "questions": [asdict(question) for question in first.questions],
            "colours": [to_hex(colour) for colour in colours],
            "photos": [_script_numbers(photo_map) for photo_map in maps],
        },
    )


def _section(photo_map: PhotoMap) -> dict[str, Any]:
    """Return what the template shows of a photo."""
    name = Path(printable(photo_map.path)).name
    return {"name": name, "image": embedded(small_photo(photo_map), name), "map": photo_map}


def _script_numbers(photo_map: PhotoMap) -> dict[str, Any]:
    """Return what the page's script needs to draw a map."""
    return {
        "height": photo_map.height,
        "width": photo_map.width,
        "step": photo_map.step,
        "scores": photo_map.shown_scores.astype(float).round(4).tolist(),
    }
