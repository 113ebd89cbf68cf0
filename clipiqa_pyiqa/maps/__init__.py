"""Maps: scores of the places of an image."""

from .photos import quality_map

__all__ = ["quality_map"]
