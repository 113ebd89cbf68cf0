"""pyiqa's other CLIP metrics; each has a tower, a view of the image and a head."""

from .base import FamilyMetric
from .clipscore import CLIPScore
from .laion import LAIONAes
from .liqe import LIQE
from .maclip import MACLIP
from .qualiclip import LEARNED, QualiCLIP

__all__ = ["LIQE", "MACLIP", "MEMBERS", "CLIPScore", "FamilyMetric", "LAIONAes", "QualiCLIP"]

MEMBERS: dict[str, type[FamilyMetric]] = {  # pyiqa's name -> class, whose first argument is that name
    "maclip": MACLIP,
    "qualiclip": QualiCLIP,
    **dict.fromkeys(LEARNED, QualiCLIP),
    "liqe": LIQE,
    "liqe_mix": LIQE,
    "laion_aes": LAIONAes,
    "clipscore": CLIPScore,
}
