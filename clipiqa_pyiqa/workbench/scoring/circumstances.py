"""The circumstances of a run, on which scores should not depend: its device and the versions of packages."""

from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

import torch

from ...version import __version__


def circumstances(device: torch.device) -> dict[str, Any]:
    """Return the device and the versions of packages, as results note them."""
    packages = ("torch", "open_clip_torch", "pillow", *_installed("pyiqa"))
    decoders = ("pillow", *_installed("simplejpeg"), *_installed("av"))
    return {
        "device": device_name(device),
        "versions": {"clipiqa-pyiqa": __version__, **{name: version(name) for name in packages}},
        "decoders": {name: version(name) for name in decoders},
    }


def _installed(package: str) -> list[str]:
    """Return a package's name if it is installed; otherwise no name."""
    return [package] if find_spec(package) else []


def device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
