"""Which CLIP a checkpoint holds, by the names and shapes of its tensors, as open_clip's models have them."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import torch

from ..errors import WeightsError, nearest
from .checkpoint import Checkpoint

BACKBONES = ("RN50", "RN101", "RN50x4", "RN50x16", "RN50x64", "ViT-B/32", "ViT-B/16", "ViT-L/14", "mini")

# Last components of names that some checkpoints hold and some do not; no number of theirs enters a feature.
_BOOKKEEPING = {
    "input_resolution",
    "context_length",
    "vocab_size",
    "num_batches_tracked",
    "attn_mask",
    "prompts_features",
}


def canonical_backbone(name: str) -> str:
    """Return a backbone's name as this package writes it, ``'ViT-B/32'`` for ``'vit-b-32'``; raise if there is none."""
    plain = str(name).lower().replace("_", "-").replace("/", "-")
    for backbone in BACKBONES:
        if plain == backbone.lower().replace("/", "-"):
            return backbone
    if str(name).endswith((".pt", ".pth", ".bin", ".safetensors")):
        raise WeightsError(
            f"backbone={str(name)!r} is a file: pass clip_weights={str(name)!r}, and its backbone's name."
        )
    raise WeightsError(
        f"Unknown backbone {name!r}: expected one of {', '.join(BACKBONES)}; {nearest(str(name), BACKBONES)}"
    )


@functools.cache
def shapes_of(backbone: str) -> Mapping[str, tuple[int, ...]]:
    """Return the shape of every tensor in a complete state dict of a backbone other than mini."""
    import open_clip  # which takes seconds

    with torch.device("meta"):
        model = open_clip.CLIP(**open_clip.get_model_config(backbone.replace("/", "-")))
    return _without_bookkeeping({name: tuple(tensor.shape) for name, tensor in model.state_dict().items()})


def check_architecture(checkpoint: Checkpoint, backbone: str) -> None:
    """Raise WeightsError if a checkpoint is not a complete CLIP of a backbone; mini's tower checks mini's shapes."""
    found = _without_bookkeeping(checkpoint.shapes)
    if backbone != "mini" and found == shapes_of(backbone):
        return
    others = (name for name in BACKBONES if name != "mini" and shapes_of(name) == found)
    held = "mini" if is_compact(found) else next(others, backbone)
    if held != backbone:
        raise WeightsError(
            f"{checkpoint.path} holds {held} weights, not {backbone}: pass backbone={held!r} or another file."
        )
    if is_compact(found):
        return
    if backbone == "mini":
        raise WeightsError(f"{checkpoint.path} does not hold mini weights: leave it out; mini is in the package.")
    expected = shapes_of(backbone)
    wrong = [name for name in expected if found.get(name) != expected[name]] + sorted(found.keys() - expected.keys())
    more = f" (and {len(wrong) - 1} more tensors differ)" if len(wrong) > 1 else ""
    raise WeightsError(
        f"{checkpoint.path} is no complete {backbone} checkpoint: {wrong[0]} has shape {found.get(wrong[0], 'none')}, "
        f"expected {expected.get(wrong[0], 'none')}{more}; get a complete file."
    )


def is_compact(names: Mapping[str, object]) -> bool:
    """Return whether a state dict's names are those of mini's format."""
    return "visual.stem.weight" in names


def _without_bookkeeping(shapes: Mapping[str, tuple[int, ...]]) -> Mapping[str, tuple[int, ...]]:
    kept = {name: shape for name, shape in shapes.items() if name.rpartition(".")[2] not in _BOOKKEEPING}
    return {**kept, "logit_scale": ()} if kept.get("logit_scale") == (1,) else kept  # some write the number as a vector
