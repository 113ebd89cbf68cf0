"""The start of PyTorch, and calls of the package's functions that can be interrupted and continued."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import warnings
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ....errors import ImageError
from ...options import Machine
from .continuing import saying_where_results_are
from .groups import OutputOptions
from .messages import note
from .progress import progress
from .signals import signals_deferred

if TYPE_CHECKING:
    import torch

_QUOTA = Path("/sys/fs/cgroup/cpu.max")  # a container's limit: CPU time per period, and the period, in microseconds


def start(machine: Machine) -> torch.device:
    """Load PyTorch, set threads, memory and warnings for this process, and return the device."""
    if "torch" not in sys.modules:
        _load_torch()
    from PIL import Image

    from ....machine import find_device
    from ...images.memory_limit import limit_memory, parse_size
    from ...images.system_memory import keep_memory

    _set_threads(machine.threads)
    keep_memory()
    limit_memory(None if machine.memory is None else parse_size(machine.memory))
    warnings.filterwarnings("ignore", "Glyph .* missing from")  # a picture shows a box for a letter without a glyph
    # damage becomes an error; odd metadata do not matter, and 89 to 179 megapixels are usual
    warnings.filterwarnings("ignore", module="PIL")
    if machine.huge:
        Image.MAX_IMAGE_PIXELS = None
    return find_device(machine.device)


def _load_torch() -> None:
    """Import PyTorch, which takes seconds."""
    note("loading PyTorch …")
    gc.disable()  # what the import makes stays: to look for garbage in it takes a quarter of a command's start
    with signals_deferred():
        import_module("torch")
    gc.freeze()
    gc.enable()


def _set_threads(count: int | None) -> None:
    """Let PyTorch use so many threads; None: what OMP_NUM_THREADS says, else no more than a container may use."""
    import torch

    if count is not None:
        torch.set_num_threads(count)
    elif "OMP_NUM_THREADS" not in os.environ:
        with contextlib.suppress(OSError, ValueError):  # without a quota, the file is missing or holds 'max'
            quota, period = map(int, _QUOTA.read_text().split())
            torch.set_num_threads(min(max(1, quota // period), torch.get_num_threads()))


def check_inputs(*inputs: Any) -> None:
    """Raise if paths name nothing, before PyTorch is loaded."""
    from ...sources.finding import find_sources, tell_skipped
    from ...sources.paths import each_of

    paths = (path for argument in inputs for path in each_of(argument))
    sources = find_sources(path for path in paths if path != "-" and not os.path.lexists(path))
    tell_skipped(sources)
    if sources.problems and sources.is_empty:
        raise ImageError(f"{sources.problem}.")


@contextlib.contextmanager
def running(machine: Machine, output: OutputOptions, function: str, *inputs: Any, **options: Any) -> Iterator[Any]:
    """Yield what a function of the package returns; if it is interrupted, say how to continue."""
    device = start(machine)
    with saying_where_results_are(output.out), progress() as show:
        yield getattr(import_module("clipiqa_pyiqa"), function)(
            *inputs, progress=show, device=device, **output.storage(), **options
        )
