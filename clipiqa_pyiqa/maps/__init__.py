"""Where in an image: the scores of its places, smoothed and at the image's size."""

from .places import quality_map, smoothed, upsampled

__all__ = ["quality_map", "smoothed", "upsampled"]
