"""CLIP's tokenizer, taken from open_clip."""

from __future__ import annotations

import runpy
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from open_clip.tokenizer import SimpleTokenizer
    from torch import Tensor


@cache
def tokenizer() -> SimpleTokenizer:
    """Return CLIP's tokenizer, one per process."""
    package = find_spec("open_clip")
    assert package is not None and package.origin is not None
    # the whole package imports transformers and timm, which takes seconds
    module = runpy.run_path(str(Path(package.origin).with_name("tokenizer.py")))
    # a second one would take a tenth of a second
    return cast("SimpleTokenizer", module.get("_tokenizer") or module["SimpleTokenizer"]())


def tokenize(texts: Sequence[str], context_length: int = 77) -> Tensor:
    """Return tokens ``(P, context_length)``; longer texts are cut."""
    import torch  # imported here, so that a command refuses its options without it

    with torch.device("cpu"):
        return tokenizer()(list(texts), context_length)
