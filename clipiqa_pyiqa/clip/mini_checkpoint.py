"""The tower in a mini checkpoint, which must be complete."""

import json

import torch

from ..errors import WeightsError
from ..weights.checkpoint import Checkpoint
from .efficientnet import CELL, EfficientNet
from .frozen_tensors import FrozenTensors

FORMAT = "clipiqa-mini/2"


def load_efficientnet(tensors: FrozenTensors) -> EfficientNet:
    """Return the tower in a mini checkpoint; raise WeightsError if the checkpoint is not complete."""
    _check_metadata(tensors.checkpoint)
    try:
        return _tried(tensors)
    except WeightsError:
        raise
    except Exception:  # wrong shapes raise many kinds of exceptions, and so do devices
        _check_shapes(tensors.checkpoint)
        raise


def _tried(tensors: FrozenTensors) -> EfficientNet:
    """Return the tower, after it encoded an image."""
    network = EfficientNet(tensors)
    network.encode_stages(torch.zeros(1, 3, CELL, CELL, device=tensors.device), "none")
    return network


def _check_metadata(checkpoint: Checkpoint) -> None:
    try:
        if checkpoint.metadata["format"] != FORMAT:
            raise ValueError(f"its format is not {FORMAT!r}")
        stages = json.loads(checkpoint.metadata["architecture"])["stages"]
        if sum(stage[0] for stage in stages) > len(checkpoint):  # before a list of so many blocks is made
            raise ValueError("it has fewer tensors than its architecture has blocks")
    except Exception as error:  # a damaged file may hold anything
        raise _incomplete(checkpoint, error) from error


def _check_shapes(checkpoint: Checkpoint) -> None:
    """Raise WeightsError if the tensors do not fit together on any device, such as meta, which computes only shapes."""
    try:
        _tried(FrozenTensors(checkpoint, torch.device("meta"), torch.float32))
    except WeightsError:
        raise
    except Exception as error:
        raise _incomplete(checkpoint, error) from error


def _incomplete(checkpoint: Checkpoint, error: Exception) -> WeightsError:
    return WeightsError(f"{checkpoint.path} is not a complete mini checkpoint ({error}): use another file.")
