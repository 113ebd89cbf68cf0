"""Maps: scores of the places of an image."""

from .places import quality_map

__all__ = ["quality_map"]
