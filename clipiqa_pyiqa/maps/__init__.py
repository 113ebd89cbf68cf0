"""Maps: scores of the places of an image."""

from .photo_map import PhotoMap
from .photos import draw_maps
from .places import map_statistics, quality_map, smoothed, upsampled
from .results import PhotoMaps

__all__ = [
    "PhotoMap",
    "PhotoMaps",
    "draw_maps",
    "map_statistics",
    "quality_map",
    "smoothed",
    "upsampled",
]
