"""The architecture of a checkpoint, from the shapes of its tensors."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import torch

from ..errors import WeightsError, nearest
from .checkpoint import Checkpoint

BACKBONES = ("RN50", "RN101", "RN50x4", "RN50x16", "RN50x64", "ViT-B/32", "ViT-B/16", "ViT-L/14", "mini")

# Last parts of names of tensors that only some checkpoints hold; no feature depends on these tensors.
_BOOKKEEPING = {
    "input_resolution",
    "context_length",
    "vocab_size",
    "num_batches_tracked",
    "attn_mask",
    "prompts_features",
}


def canonical_backbone(name: str) -> str:
    plain = str(name).lower().replace("_", "-").replace("/", "-")
    if plain in (known := {backbone.lower().replace("/", "-"): backbone for backbone in BACKBONES}):
        return known[plain]
    raise WeightsError(
        f"unknown backbone {str(name)!r}: {nearest(str(name), BACKBONES)} To use a file, pass `clip_weights`."
    )


@functools.cache
def shapes_of(backbone: str) -> Mapping[str, tuple[int, ...]]:
    import open_clip  # the import takes seconds

    with torch.device("meta"):
        model = open_clip.CLIP(**open_clip.get_model_config(backbone.replace("/", "-")))
    return _without_bookkeeping({name: tuple(tensor.shape) for name, tensor in model.state_dict().items()})


def check_architecture(checkpoint: Checkpoint, backbone: str) -> None:
    found = _without_bookkeeping(checkpoint.shapes)
    likely_first = sorted(BACKBONES[:-1], key=lambda name: name != backbone)
    held = "mini" if is_compact(found) else next((name for name in likely_first if shapes_of(name) == found), "")
    if held and held != backbone:
        raise WeightsError(
            f"{checkpoint.path} holds {held} weights, not {backbone}: pass backbone={held!r} or another file."
        )
    if not held:
        different = found.items() ^ ({} if backbone == "mini" else shapes_of(backbone)).items()
        names = sorted({name for name, _ in different})
        raise WeightsError(
            f"{checkpoint.path} is not a complete {backbone} checkpoint: {len(names)} tensors are missing, unknown or "
            f"of another shape, such as {', '.join(names[:1])}; get a complete file."
        )


def is_compact(names: Mapping[str, object]) -> bool:
    return "visual.stem.weight" in names


def _without_bookkeeping(shapes: Mapping[str, tuple[int, ...]]) -> Mapping[str, tuple[int, ...]]:
    return {name: shape for name, shape in shapes.items() if name.rpartition(".")[2] not in _BOOKKEEPING}
