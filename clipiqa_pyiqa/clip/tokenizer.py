"""CLIP's tokenizer, open_clip's, read once."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from open_clip.tokenizer import SimpleTokenizer


@cache
def tokenizer() -> SimpleTokenizer:
    """The tokenizer that every text of this process goes through."""
    from open_clip.tokenizer import SimpleTokenizer  # slow to import, and named pairs do not need it

    return SimpleTokenizer()
