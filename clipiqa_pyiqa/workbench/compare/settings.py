"""Settings of a run, as a report tells them."""

import platform
from importlib.metadata import version

import torch

from ..images.prefetch import WORKERS
from ..scoring.circumstances import circumstances
from ..scoring.options import Options


def run_settings(options: Options) -> dict[str, str]:
    """Return versions, the machine and the options of a run, as texts."""
    here = circumstances(options.device)
    return {
        **{name: version(name) for name in ("torchvision", "numpy", "scipy")},
        **here["versions"],
        **here["decoders"],
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "device": here["device"],
        "threads": str(torch.get_num_threads()),
        "seed": str(options.seed),
        "batch size": str(options.batch_size),
        "workers": str(options.workers or WORKERS),
        **{name.replace("_", " "): str(limit) for name, limit in options.limits.items()},
    }
