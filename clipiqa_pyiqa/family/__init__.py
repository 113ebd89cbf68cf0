"""pyiqa's other CLIP metrics; each has a tower, a view of the image and a head."""

from __future__ import annotations

from typing import Any

from .clipscore import CLIPScore
from .laion import LAIONAes
from .liqe import LIQE
from .maclip import MACLIP
from .member import Member
from .qualiclip import QualiCLIP

MEMBERS: dict[str, type[Member]] = {  # pyiqa's name -> class, whose `model_type` is that name
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


def create_member(name: str, **options: Any) -> Member:
    """Return a metric of ``MEMBERS``, like ``pyiqa.create_metric(name).net``; ``options`` are those of its class."""
    return MEMBERS[name](name, **options)
