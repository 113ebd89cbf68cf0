"""pyiqa's other CLIP metrics; each has a tower, a view of the image and a head."""

from .base import CLIPMetric
from .clipscore import CLIPScore
from .laion import LAIONAes
from .liqe import LIQE
from .maclip import MACLIP
from .qualiclip import LEARNED, QualiCLIP

__all__ = ["LIQE", "MACLIP", "MEMBERS", "CLIPMetric", "CLIPScore", "LAIONAes", "QualiCLIP"]

MEMBERS: dict[str, type[CLIPMetric]] = {  # pyiqa's name -> class, whose first argument is that name
    "maclip": MACLIP,
    "qualiclip": QualiCLIP,
    **dict.fromkeys(LEARNED, QualiCLIP),
    "liqe": LIQE,
    "liqe_mix": LIQE,
    "laion_aes": LAIONAes,
    "clipscore": CLIPScore,
}
