"""Files of our own: written whole or not at all, one run at a time, and known by their hashes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..imports import lazily

if TYPE_CHECKING:
    from .writing import check_folder, check_output, replacing, write_bytes, write_text

__all__ = ["check_folder", "check_output", "replacing", "write_bytes", "write_text"]
__getattr__, __dir__ = lazily(__name__, dict.fromkeys(__all__, "writing"))  # the command line needs only `names` first
