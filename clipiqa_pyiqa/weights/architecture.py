"""Which CLIP a checkpoint holds: read off its key names and shapes, and compared with open_clip's model configs."""

from __future__ import annotations

import difflib
import functools
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import open_clip
import torch

from ..errors import WeightsError
from .checkpoint import Checkpoint
from .compact import check_compact, is_compact

BACKBONES = ("RN50", "RN101", "RN50x4", "RN50x16", "RN50x64", "ViT-B/32", "ViT-B/16", "ViT-L/14", "mini")

# Last components of names that some checkpoints hold and some do not; no number of theirs enters a feature.
_BOOKKEEPING = {"input_resolution", "context_length", "vocab_size", "num_batches_tracked", "attn_mask"}
_HEAD_WIDTH = 64  # of every attention head of every CLIP here; the shapes do not tell

Shapes = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Architecture:
    """The numbers that fix one CLIP's shapes.

    Attributes:
        image_layers: Blocks per stage: four stages are a ResNet, a single one is a vision transformer.
        image_width: Channels of the ResNet's first stage, or width of the vision transformer.
        patch: Side of a vision transformer's patches in pixels; ``None`` for a ResNet.
        image_size: Side in pixels of the images that the positional embedding was made for.
        text_layers, text_width: Depth and width of the text transformer.
        context_length: Tokens in a text.
        vocabulary: Number of different tokens.
        features: Length of an image's or a text's feature vector.
    """

    image_layers: tuple[int, ...]
    image_width: int
    patch: int | None
    image_size: int
    text_layers: int
    text_width: int
    context_length: int
    vocabulary: int
    features: int

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Architecture:
        """From a model config as open_clip writes it."""
        image, text = config["vision_cfg"], config["text_cfg"]
        layers = image["layers"]
        return cls(
            image_layers=(layers,) if isinstance(layers, int) else tuple(layers),
            image_width=image["width"],
            patch=image["patch_size"],
            image_size=image["image_size"],
            text_layers=text["layers"],
            text_width=text["width"],
            context_length=text["context_length"],
            vocabulary=text["vocab_size"],
            features=config["embed_dim"],
        )

    @classmethod
    def from_shapes(cls, shapes: Shapes) -> Architecture | None:
        """From a state dict's shapes; ``None`` if they are not a CLIP's."""
        try:
            if "visual.layer1.0.conv1.weight" in shapes:
                layers = tuple(_count_blocks(shapes, f"visual.layer{stage}.") for stage in (1, 2, 3, 4))
                width, patch = shapes["visual.layer1.0.conv1.weight"][0], None
                positions, pixels_per_position = shapes["visual.attnpool.positional_embedding"][0], 32
            else:
                layers = (_count_blocks(shapes, "visual.transformer.resblocks."),)
                width, _, _, patch = shapes["visual.conv1.weight"]
                positions, pixels_per_position = shapes["visual.positional_embedding"][0], patch
            context_length, text_width = shapes["positional_embedding"]
            return cls(
                image_layers=layers,
                image_width=width,
                patch=patch,
                image_size=math.isqrt(positions - 1) * pixels_per_position,  # one position is the class token's
                text_layers=_count_blocks(shapes, "transformer.resblocks."),
                text_width=text_width,
                context_length=context_length,
                vocabulary=shapes["token_embedding.weight"][0],
                features=shapes["text_projection"][1],
            )
        except (KeyError, IndexError, ValueError):
            return None

    @functools.cached_property
    def shapes(self) -> Shapes:
        """Shape of every tensor in a complete state dict, by open_clip's own model without memory for its weights."""
        with torch.device("meta"):
            model = open_clip.CLIP(
                embed_dim=self.features,
                vision_cfg={
                    "layers": self.image_layers if self.patch is None else self.image_layers[0],
                    "width": self.image_width,
                    "head_width": _HEAD_WIDTH,
                    "patch_size": self.patch,
                    "image_size": self.image_size,
                },
                text_cfg={
                    "context_length": self.context_length,
                    "vocab_size": self.vocabulary,
                    "width": self.text_width,
                    "heads": self.text_width // _HEAD_WIDTH,
                    "layers": self.text_layers,
                },
            )
        return _without_bookkeeping({name: tuple(tensor.shape) for name, tensor in model.state_dict().items()})

    def __str__(self) -> str:
        if self.patch is None:
            image = f"ResNet of {'+'.join(map(str, self.image_layers))} blocks, width {self.image_width}"
        else:
            image = f"vision transformer of {self.image_layers[0]} layers, width {self.image_width}, patch {self.patch}"
        return f"{image}, for {self.image_size} px, with a text transformer of width {self.text_width}"


def canonical_backbone(name: str) -> str:
    """A backbone's name as this package writes it: ``'vit-b-32'`` gives ``'ViT-B/32'``.

    Raises:
        WeightsError: If there is no such backbone; the message names the nearest.
    """
    by_plain_name = {_plain(backbone): backbone for backbone in BACKBONES}
    if isinstance(name, str) and _plain(name) in by_plain_name:
        return by_plain_name[_plain(name)]
    if isinstance(name, os.PathLike) or (
        isinstance(name, str) and name.endswith((".pt", ".pth", ".bin", ".safetensors"))
    ):
        raise WeightsError(
            f"backbone={str(name)!r} is a file: pass clip_weights={str(name)!r}, and its backbone's name."
        )
    nearest = difflib.get_close_matches(_plain(str(name)), by_plain_name, n=1, cutoff=0)[0]
    raise WeightsError(
        f"Unknown backbone {name!r}: expected one of {', '.join(BACKBONES)}; did you mean {by_plain_name[nearest]!r}?"
    )


def open_clip_name(backbone: str) -> str:
    """The name of a backbone's model config in open_clip: ``'ViT-B/32'`` is ``'ViT-B-32'``."""
    return backbone.replace("/", "-")


@functools.cache
def architecture(backbone: str) -> Architecture:
    """The architecture of a backbone but mini, from open_clip's model config."""
    return Architecture.from_config(open_clip.get_model_config(open_clip_name(backbone)))


def check_architecture(checkpoint: Checkpoint, backbone: str) -> None:
    """Make sure that a checkpoint is a complete CLIP of a backbone, by names and shapes alone.

    Raises:
        WeightsError: If it holds another CLIP, lacks tensors, or has ones that do not belong; the message says which.
    """
    if is_compact(checkpoint):
        if backbone != "mini":
            raise WeightsError(
                f"{checkpoint.path} holds mini weights, not {backbone}: pass backbone='mini' or another file."
            )
        check_compact(checkpoint)
        return
    found = _without_bookkeeping(checkpoint.shapes)
    held = Architecture.from_shapes(found)
    if backbone == "mini":
        found_in = next((name for name in BACKBONES if name != "mini" and architecture(name) == held), "no")
        raise WeightsError(
            f"{checkpoint.path} holds {found_in} weights, not mini's, which are in the package: leave out the file."
        )
    expected = architecture(backbone).shapes
    if found == expected:
        return
    if held is not None and held != architecture(backbone):
        other = next((name for name in BACKBONES if name != "mini" and architecture(name) == held), None)
        raise WeightsError(
            f"{checkpoint.path} holds {other} weights, not {backbone}: pass backbone={other!r} or another file."
            if other
            else f"{checkpoint.path} holds a CLIP of no known backbone ({held}): expected {backbone} "
            f"({architecture(backbone)})."
        )
    if not found.keys() & expected.keys():
        raise WeightsError(
            f"{checkpoint.path} does not hold a CLIP: expected {backbone} weights, with OpenAI's or open_clip's names, "
            f"but it has {_first_few(list(found)) or 'no tensors'}."
        )
    differences = {
        "lacks": [name for name in expected if name not in found],
        "has unexpected": [name for name in found if name not in expected],
        "has wrong shapes in": [
            f"{name} ({found[name]}, expected {expected[name]})"
            for name in expected
            if name in found and found[name] != expected[name]
        ],
    }
    listed = ", ".join(f"{what} {_first_few(names)}" for what, names in differences.items() if names)
    raise WeightsError(f"{checkpoint.path} is no complete {backbone} checkpoint: it {listed}. Get a complete file.")


def _plain(name: str) -> str:
    return name.lower().replace("/", "-").replace("_", "-")


def _count_blocks(shapes: Shapes, prefix: str) -> int:
    return len({name.removeprefix(prefix).split(".")[0] for name in shapes if name.startswith(prefix)})


def _without_bookkeeping(shapes: Shapes) -> Shapes:
    kept = {name: shape for name, shape in shapes.items() if name.rpartition(".")[2] not in _BOOKKEEPING}
    return {**kept, "logit_scale": ()} if kept.get("logit_scale") == (1,) else kept  # some write the number as a vector


def _first_few(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
