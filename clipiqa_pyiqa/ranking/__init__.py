"""Picking and browsing the best and the worst photos."""

from .page import write_browser
from .picking import Photos, pick
from .transfers import transfer, undo

__all__ = ["Photos", "pick", "transfer", "undo", "write_browser"]
