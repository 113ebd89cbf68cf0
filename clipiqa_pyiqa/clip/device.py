"""Where to compute: a device by its name, or the one that is best."""

from __future__ import annotations

import torch

from ..errors import CLIPIQAError, shown


def find_device(name: str | torch.device | None) -> torch.device:
    """The device of that name; without one, cuda if there is one, else cpu.

    Raises:
        CLIPIQAError: no such device is known, or it is not on this machine.
    """
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError, ValueError) as error:
        raise CLIPIQAError(f"unknown device {shown(name)}: use cpu, cuda, cuda:N or mps.") from error
    found = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if (device.index or 0) >= found.get(device.type, 0):
        there = [f"cuda:{n}" for n in range(found["cuda"])] + ["mps"] * found["mps"]
        raise CLIPIQAError(f"device {str(name)!r} is not available here: use one of {', '.join(['cpu', *there])}.")
    return device


def missing_on_mps(error: NotImplementedError) -> CLIPIQAError:
    """A sentence with the ways out, in place of torch's words about an operation that it has not on mps."""
    said = str(error).split(". ")[0].splitlines()[0].rstrip(".")
    return CLIPIQAError(
        f"this cannot be computed on device 'mps' ({said}): use the cpu, or set PYTORCH_ENABLE_MPS_FALLBACK=1 before "
        "Python starts, so that torch computes there what is missing."
    )
