"""Devices: the one that a user names, and the error for operations that it lacks."""

import torch

from ..errors import CLIPIQAError
from ..text import shown


def missing_on_mps(error: NotImplementedError) -> CLIPIQAError:
    return CLIPIQAError(
        f"device 'mps' lacks an operation ({str(error).partition('. ')[0]}): use {{device}}='cpu', or set "
        "PYTORCH_ENABLE_MPS_FALLBACK=1 before Python starts, so that the CPU computes this operation.",
        options=("device",),
    )


def find_device(name: str | torch.device | None) -> torch.device:
    """Return the named device, by default cuda if available, else cpu; raise ``CLIPIQAError`` for a missing device."""
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, TypeError, ValueError, AssertionError) as error:
        raise CLIPIQAError(
            f"{{device}} must be cpu, cuda, cuda:N or mps, and this machine must have it; got {shown(name)}.",
            options=("device",),
        ) from error
