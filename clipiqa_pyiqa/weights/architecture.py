"""The architecture of a checkpoint: the kind of its image tower, and whether its tensors are those of a backbone."""

import functools
from collections.abc import Mapping
from enum import Enum, auto

import torch

from ..errors import WeightsError
from .checkpoint import Checkpoint

_STEM = "visual.stem.weight"  # a tensor that only mini has
# Last parts of names of tensors that only some checkpoints hold; no feature depends on these tensors.
_BOOKKEEPING = {
    "input_resolution",
    "context_length",
    "vocab_size",
    "num_batches_tracked",
    "attn_mask",
    "prompts_features",
}


class TowerKind(Enum):
    """The kinds of image towers."""

    RESNET = auto()
    VIT = auto()
    MINI = auto()


def tower_kind_of(checkpoint: Checkpoint) -> TowerKind:
    """Return the kind of image tower in a checkpoint."""
    if _STEM in checkpoint:
        return TowerKind.MINI
    return TowerKind.VIT if "visual.proj" in checkpoint else TowerKind.RESNET


@functools.cache
def shapes_of(backbone: str) -> Mapping[str, tuple[int, ...]]:
    """Return the shapes of a backbone's tensors in open_clip, by name."""
    import open_clip  # the import takes seconds

    with torch.device("meta"):
        model = open_clip.CLIP(**open_clip.get_model_config(backbone.replace("/", "-")))
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def check_architecture(checkpoint: Checkpoint, backbone: str) -> None:
    """Raise WeightsError if a checkpoint lacks tensors of a backbone, or has others or others' shapes."""
    if backbone == "mini":
        differing = {_STEM} - checkpoint.keys()
    else:
        differing = {name for name, _ in checkpoint.shapes.items() ^ shapes_of(backbone).items()}
    names = sorted(name for name in differing if name.rpartition(".")[2] not in _BOOKKEEPING)
    if names:
        raise WeightsError(
            f"{checkpoint.path} is not a complete {backbone} checkpoint: {len(names)} tensors are missing, unknown or "
            f"of another shape, such as {names[0]}; pass the file's own backbone, or another file."
        )
