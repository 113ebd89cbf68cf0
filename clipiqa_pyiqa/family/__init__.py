"""pyiqa's other CLIP metrics; each has a tower, a view of the image and a head."""

from __future__ import annotations

from .clipscore import CLIPScore
from .laion import LAIONAes
from .liqe import LIQE
from .maclip import MACLIP
from .member import CLIPMetric
from .qualiclip import QualiCLIP

MEMBERS: dict[str, type[CLIPMetric]] = {  # pyiqa's name -> class, whose first argument is that name
    "maclip": MACLIP,
    "qualiclip": QualiCLIP,
    "qualiclip+": QualiCLIP,
    "qualiclip+-clive": QualiCLIP,
    "qualiclip+-flive": QualiCLIP,
    "qualiclip+-spaq": QualiCLIP,
    "liqe": LIQE,
    "liqe_mix": LIQE,
    "laion_aes": LAIONAes,
    "clipscore": CLIPScore,
}
