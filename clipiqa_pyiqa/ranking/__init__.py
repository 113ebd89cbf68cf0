"""Picking and browsing the best and the worst photos."""

from .page import write_browser
from .picking import Photos
from .transfers import transfer, undo

__all__ = ["Photos", "transfer", "undo", "write_browser"]
