"""pyiqa's other CLIP metrics; each has a tower, a view of the image and a head."""

from __future__ import annotations

from .member import CLIPMetric
from .published import LEARNED, LIQE, MACLIP, CLIPScore, LAIONAes, QualiCLIP

MEMBERS: dict[str, type[CLIPMetric]] = {  # pyiqa's name -> class, whose first argument is that name
    "maclip": MACLIP,
    "qualiclip": QualiCLIP,
    **dict.fromkeys(LEARNED, QualiCLIP),
    "liqe": LIQE,
    "liqe_mix": LIQE,
    "laion_aes": LAIONAes,
    "clipscore": CLIPScore,
}
