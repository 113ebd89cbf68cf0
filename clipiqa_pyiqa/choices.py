"""The values that the options of a metric take, and what is said of others."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, Literal

import torch

from .errors import CLIPIQAError, shown
from .prompts.files import LearnedType

ModelType = Literal["clipiqa"] | LearnedType
Precision = Literal["fp32", "bf16", "fp16"]
PosEmbedding = bool | Literal["none", "interpolate", "fixed"] | None

PRECISIONS: dict[Precision, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
POS_EMBEDDINGS: dict[PosEmbedding, Literal["none", "interpolate", "fixed"]] = {
    False: "none",
    None: "none",
    "none": "none",
    True: "interpolate",
    "interpolate": "interpolate",
    "fixed": "fixed",
}
Aggregate = Literal["mean"] | None


class Own(Enum):
    """The default of ``aggregate`` in a call, where None is a value of its own: as the metric was created."""

    OWN = "own"

    def __repr__(self) -> str:
        return self.name


OWN = Own.OWN


def choice(option: str, value: Any, choices: Mapping[Any, Any]) -> Any:
    """What a value stands for. Raises ``CLIPIQAError`` if it is none of the choices."""
    try:
        return choices[value]
    except (KeyError, TypeError):
        names = (each for each in choices if isinstance(each, str) or each is choices[each])  # no synonyms
        known = ", ".join(map(repr, names))
        raise CLIPIQAError(f"{option}={shown(value)} is not known: choose one of {known}.") from None
