"""The checksum in files of heads and of learned prompts, over their tensors and metadata."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..checks import FilePath
from ..errors import PromptError
from ..weights.checkpoint import Checkpoint


def content_checksum(tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> str:
    """Return the SHA-256 in hex of tensors and of metadata, leaving out the field ``sha256``."""
    fields = {key: value for key, value in metadata.items() if key != "sha256"}
    shapes = {name: [str(tensor.dtype), list(tensor.shape)] for name, tensor in tensors.items()}
    sha256 = hashlib.sha256(json.dumps([fields, shapes], sort_keys=True).encode())
    for name in sorted(tensors):
        sha256.update(tensors[name].contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return sha256.hexdigest()


def check_checksum(path: FilePath, checkpoint: Checkpoint) -> None:
    """Raise PromptError if a file's checksum is missing or does not match its content."""
    if checkpoint.metadata.get("sha256") != content_checksum(dict(checkpoint), checkpoint.metadata):
        raise PromptError(f"{path} is damaged: its checksum does not match its content; copy or make it again.")
