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
