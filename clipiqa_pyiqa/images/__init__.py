"""Images from wherever they come: sources, the reader, and the one path from files to batches of equal size."""

from .batches import in_batches, prefetch, stacked
from .formats import image_suffixes, readable_formats
from .memory import limit_memory
from .reader import MIN_SIDE, ImageRecord, check_limits, read_image, strict_decoding
from .sources import FileSource, ImageSource, Inputs, find_inputs, images_in

__all__ = [
    "MIN_SIDE",
    "FileSource",
    "ImageRecord",
    "ImageSource",
    "Inputs",
    "check_limits",
    "find_inputs",
    "image_suffixes",
    "images_in",
    "in_batches",
    "limit_memory",
    "prefetch",
    "read_image",
    "readable_formats",
    "stacked",
    "strict_decoding",
]
