"""The entry points that pyiqa calls. They cannot fail: what goes wrong is raised to whoever asks for CLIP-IQA.

pyiqa swallows an entry point that raises and builds a class of its own under the same name, whose scores are others.
This module therefore stands beside the package, and imports nothing at its top.
"""

from __future__ import annotations

import os
from typing import Any


def register() -> None:
    """Let pyiqa build our ``CLIPIQA``; where our package cannot be imported, a class that raises the reason."""
    try:
        from clipiqa_pyiqa import plugin

        plugin.register()
    except Exception as error:
        if os.environ.get("CLIPIQA_PYIQA_BUILTIN", "0") in ("", "0"):  # else the built-in is what is wanted
            _refuse("ARCH_REGISTRY", "CLIPIQA", error)


def register_losses() -> None:
    """Let pyiqa build our ``CLIPIQALoss``; otherwise as :func:`register`."""
    try:
        from clipiqa_pyiqa import plugin

        plugin.register_losses()
    except Exception as error:
        _refuse("LOSS_REGISTRY", "CLIPIQALoss", error)


def _refuse(registry: str, name: str, reason: Exception) -> None:
    """Put a class into one of pyiqa's registries that raises whenever it is built."""
    from pyiqa.utils import registry as registries

    class Broken:
        def __init__(self, *_: Any, **__: Any) -> None:
            raise ImportError(
                f"clipiqa-pyiqa is installed but cannot be loaded ({type(reason).__name__}: {reason}), and pyiqa's own "
                f"{name} would give other scores: mend or reinstall it, or set CLIPIQA_PYIQA_BUILTIN=1 for pyiqa's."
            ) from reason

    getattr(registries, registry).register(Broken, name=name, override=True)
