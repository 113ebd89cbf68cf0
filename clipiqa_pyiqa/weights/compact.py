"""The compact CLIP format: an EfficientNet-Lite image tower on map statistics, and a text tower that knows few words.

It is OpenAI's state dict but for the image tower's names and a token table cut to the rows that were trained. What the
shapes do not tell stands in the file's metadata (docs/mini.md).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import WeightsError
from .checkpoint import Checkpoint

FORMAT = "clipiqa-mini/2"
_MARK = "visual.stem.weight"


@dataclass(frozen=True)
class Layout:
    """What the tensors of a compact file do not tell.

    Attributes:
        strides: of each block's spatial convolution.
        eps: added to a variance before its logarithm is taken.
    """

    strides: tuple[int, ...]
    eps: float

    @classmethod
    def of(cls, metadata: Mapping[str, str]) -> Layout:
        """From a file's metadata; raises KeyError, TypeError or ValueError if they do not say."""
        said: Mapping[str, Any] = json.loads(metadata["architecture"])
        strides = [stride if i == 0 else 1 for count, _, stride, *_ in said["stages"] for i in range(count)]
        if not set(strides) <= {1, 2} or not 0 < said["statistics_eps"] < 1:
            raise ValueError("strides of 1 and 2 and a small eps are expected")
        return cls(tuple(strides), float(said["statistics_eps"]))


def is_compact(names: Mapping[str, Any]) -> bool:
    """Whether a state dict's names are those of the compact format."""
    return _MARK in names


def check_compact(checkpoint: Checkpoint) -> None:
    """Make sure that a compact file is complete, by names, shapes and metadata alone.

    Raises:
        WeightsError: If it is of another version, lacks tensors or has ones that do not belong; the message says which.
    """
    path, found = checkpoint.path, checkpoint.shapes
    version = checkpoint.metadata.get("format")
    if version != FORMAT:
        raise WeightsError(
            f"{path} holds a compact CLIP of format {version!r}, but this version reads {FORMAT!r}: "
            "update clipiqa-pyiqa, or get the file that belongs to it."
        )
    try:
        layout = Layout.of(checkpoint.metadata)
        expected = _shapes(found, layout, len(json.loads(checkpoint.metadata["token_ids"])))
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise WeightsError(
            f"{path} is no complete compact CLIP: its tensors or metadata lack {error}; get a complete file."
        ) from error
    wrong = [name for name in expected if found.get(name) != expected[name]] + sorted(found.keys() - expected.keys())
    if wrong:
        name = wrong[0]
        more = f" (and {len(wrong) - 1} more like it)" if len(wrong) > 1 else ""
        raise WeightsError(
            f"{path} is no complete compact CLIP: {name} has shape {found.get(name, 'none')}, expected "
            f"{expected.get(name, 'none')}{more}; get a complete file."
        )


def _shapes(found: Mapping[str, tuple[int, ...]], layout: Layout, tokens: int) -> dict[str, tuple[int, ...]]:
    """Every tensor of a file with these widths, kernels and depths, which are read off ``found``."""
    shapes: dict[str, tuple[int, ...]] = {}

    def conv(name: str, out: int, into: int, kernel: int = 1) -> int:
        if out % 8:
            raise ValueError(f"a multiple of 8 channels in {name}")
        shapes[f"visual.{name}.weight"], shapes[f"visual.{name}.bias"] = (out, into, kernel, kernel), (out,)
        return out

    def held(name: str) -> tuple[int, ...]:
        return found[f"visual.{name}.weight"]

    width = conv("stem", held("stem")[0], 3, held("stem")[-1])
    statistics = 0
    for index in range(len(layout.strides)):
        name = f"blocks.{index}"
        widens = f"visual.{name}.expand.weight" in found
        wide = conv(f"{name}.expand", held(f"{name}.expand")[0], width) if widens else width
        conv(f"{name}.depthwise", wide, 1, held(f"{name}.depthwise")[-1])
        width = conv(f"{name}.project", held(f"{name}.project")[0], wide)
        statistics += width
    statistics = 2 * (statistics + conv("head", held("head")[0], width))
    shapes["visual.statistics.mean"] = shapes["visual.statistics.scale"] = (statistics,)
    features = statistics
    for name in ("answers", "hidden", "proj"):
        if name == "proj" or f"visual.{name}.weight" in found:
            into, features = features, held(name)[0]
            shapes[f"visual.{name}.weight"], shapes[f"visual.{name}.bias"] = (features, into), (features,)
    context, text = found["positional_embedding"]
    shapes |= {
        "token_embedding.weight": (tokens, text),
        "positional_embedding": (context, text),
        "text_projection": (text, features),
        "logit_scale": (),
        "ln_final.weight": (text,),
        "ln_final.bias": (text,),
    }
    start = "transformer.resblocks."
    for index in range(len({name.removeprefix(start).split(".")[0] for name in found if name.startswith(start)})):
        shapes |= {f"{start}{index}.{name}": shape for name, shape in _text_block(text).items()}
    return shapes


def _text_block(width: int) -> dict[str, tuple[int, ...]]:
    linear = {
        "attn.in_proj_": (3 * width, width),
        "attn.out_proj.": (width, width),
        "mlp.c_fc.": (4 * width, width),
        "mlp.c_proj.": (width, 4 * width),
    }
    shapes: dict[str, tuple[int, ...]] = {}
    for name, shape in linear.items():
        shapes[f"{name}weight"], shapes[f"{name}bias"] = shape, shape[:1]
    for name in ("ln_1", "ln_2"):
        shapes[f"{name}.weight"] = shapes[f"{name}.bias"] = (width,)
    return shapes
