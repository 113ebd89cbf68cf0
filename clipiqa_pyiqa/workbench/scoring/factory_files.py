"""The files that a metric factory refers to, so that a pipeline's cache notices a new file."""

import inspect
import os
from pathlib import Path
from typing import Any

from ...files import remembered_sha256


def hashes_of_files(factory: Any) -> list[str]:
    """Return the SHA-256 of each file whose path a function has as an argument, a constant or a variable."""
    named = [*getattr(factory, "args", ()), *getattr(factory, "keywords", {}).values()]  # of a partial
    function = getattr(factory, "func", factory)
    if inspect.isfunction(function):
        variables = inspect.getclosurevars(function)
        named += [*function.__code__.co_consts, *(function.__defaults__ or ())]
        named += [*variables.nonlocals.values(), *variables.globals.values()]
    return [remembered_sha256(path) for path in named if isinstance(path, str | Path) and os.path.isfile(path)]
