"""The best and the worst photos: on a sheet and a page, or copied, moved or linked elsewhere."""

from .page import write_browser
from .picking import Photos, pick
from .transfers import transfer, undo

__all__ = ["Photos", "pick", "transfer", "undo", "write_browser"]
