"""The fields in the metadata of heads and of learned prompts: what each must be, and its value."""

import base64
import json
import math
from collections.abc import Callable, Collection, Mapping
from typing import Any

from ..checks import FilePath
from ..errors import PromptError
from ..text import shown


def _range(text: str) -> tuple[float, float]:
    low, high = json.loads(text)
    for bound in (low, high):
        if type(bound) not in (int, float) or not math.isfinite(bound):
            raise ValueError
    if not low < high:
        raise ValueError
    return low, high


def _truth(text: str) -> bool:
    return {"true": True, "false": False}[text]


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise ValueError
    return count


def _base64(text: str) -> str:
    """Return the text as it is; raise ValueError unless it is base64."""
    base64.b64decode(text, validate=True)
    return text


def _choice(*choices: str) -> Callable[[str], str]:
    known = {choice: choice for choice in choices}
    return known.__getitem__


METHODS = {"affine": ("direction", "prior"), "ridge": ("direction", "prior", "mean", "weight")}
"""Method of a head -> its tensors."""

_FIELDS: dict[str, tuple[Callable[[str], Any], str]] = {  # of a file's metadata -> their reader, and what they must be
    "score_range": (_range, "two numbers, the lower one first"),
    "lower_better": (_truth, "true or false"),
    "shared": (_truth, "true or false"),
    "n_ctx": (_count, "a number above 0"),
    "rated_photos": (_count, "a number above 0"),
    "fit_on": (_choice("features", "stages"), "'features' or 'stages'"),
    "method": (_choice(*METHODS), "'affine' or 'ridge'"),
    "trained_on": (_base64, "digests in base64"),
    "base_positive": (str, "a text"),
    "base_negative": (str, "a text"),
}


def read_fields(path: FilePath, metadata: Mapping[str, str], needed: Collection[str] = ()) -> dict[str, Any]:
    """Return the values in the metadata of a head or of learned prompts; raise PromptError if one is wrong or missing.

    Args:
        needed: Fields that must be there.
    """
    fields = {}
    for name, (read, kind) in _FIELDS.items():
        if name not in metadata and name not in needed:
            continue
        try:
            fields[name] = read(metadata[name])
        except (KeyError, ValueError, TypeError, OverflowError, RecursionError) as error:
            raise PromptError(
                f"{path} has no usable field {name}, which must be {kind}; got {shown(metadata.get(name))}: make the "
                "file again."
            ) from error
    return fields
