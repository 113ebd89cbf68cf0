"""CLIP's tokenizer, taken from open_clip."""

from functools import cache
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from open_clip.tokenizer import SimpleTokenizer


@cache
def tokenizer() -> "SimpleTokenizer":
    package = find_spec("open_clip")
    assert package is not None and package.origin is not None
    # the whole package imports transformers and timm, which takes seconds
    spec = spec_from_file_location("open_clip.tokenizer", Path(package.origin).with_name("tokenizer.py"))
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    ready = getattr(module, "_tokenizer", None)  # a second one would take a tenth of a second
    return cast("SimpleTokenizer", ready or module.SimpleTokenizer())
