"""What mini's file holds: OpenAI's state dict with another image tower, and a token table of the trained rows only."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import WeightsError
from ..weights.checkpoint import Checkpoint

FORMAT = "clipiqa-mini/2"


@dataclass(frozen=True)
class Layout:
    """What the tensors of mini's file do not tell, and its metadata do.

    Attributes:
        strides: Of each block's spatial convolution.
        eps: Added to a variance before its logarithm is taken.
    """

    strides: tuple[int, ...]
    eps: float

    @classmethod
    def of(cls, checkpoint: Checkpoint) -> Layout:
        """Read the layout from a file's metadata, and check the image tower's shapes by them.

        Raises:
            WeightsError: The file is of another format, or lacks metadata or tensors.
        """
        try:
            if checkpoint.metadata["format"] != FORMAT:
                raise ValueError(f"the format {FORMAT!r} (it has {checkpoint.metadata['format']!r})")
            said: dict[str, Any] = json.loads(checkpoint.metadata["architecture"])
            if sum(stage[0] for stage in said["stages"]) > len(checkpoint):
                raise ValueError("as many tensors as blocks")
            strides = [stride if i == 0 else 1 for count, _, stride, *_ in said["stages"] for i in range(count)]
            if not set(strides) <= {1, 2} or not 0 < said["statistics_eps"] < 1:
                raise ValueError("strides of 1 and 2 and a small eps")
            for name, shape in _image_shapes(said).items():
                if checkpoint.shapes.get(name) != shape:
                    raise ValueError(f"{name} of shape {shape}")
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise WeightsError(f"{checkpoint.path} is no complete mini checkpoint: it lacks {error}.") from error
        return cls(tuple(strides), float(said["statistics_eps"]))


def _image_shapes(said: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor of the image tower."""
    shapes: dict[str, tuple[int, ...]] = {}

    def layer(name: str, out: int, *into: int) -> int:
        shapes[f"visual.{name}.weight"], shapes[f"visual.{name}.bias"] = (out, *into), (out,)
        return out

    width, channels = layer("stem", said["stem"], 3, 3, 3), said["head"]
    blocks = [(kernel, expansion, out) for count, kernel, _, expansion, out in said["stages"] for _ in range(count)]
    for index, (kernel, expansion, out) in enumerate(blocks):
        wide = expansion * width
        if expansion > 1:
            layer(f"blocks.{index}.expand", wide, width, 1, 1)
        layer(f"blocks.{index}.depthwise", wide, 1, kernel, kernel)
        width = layer(f"blocks.{index}.project", out, wide, 1, 1)
        channels += out
    layer("head", said["head"], width, 1, 1)
    features = 2 * channels  # mean and deviation of each
    shapes["visual.statistics.mean"] = shapes["visual.statistics.scale"] = (features,)
    for name, out in (("answers", said["answers"]), ("hidden", said["hidden"]), ("proj", said["embed_dim"])):
        features = layer(name, out, features) if out else features
    return shapes
