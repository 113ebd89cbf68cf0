"""What the scripts of this folder share: options, photos, seeded weights, turns, peaks of memory, checkouts, tables."""

import argparse
import gc
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from importlib.metadata import distributions
from pathlib import Path

import torch

from clipiqa_pyiqa.workbench.images.image import read_image
from clipiqa_pyiqa.workbench.images.system_memory import give_back_memory

sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))
sys.stdout.reconfigure(line_buffering=True)  # a long run tells at once what it has found


def arguments(*paths, **defaults):
    """Return the script's arguments: paths, of which ``'name*'`` takes any number, and options with their defaults."""
    about = sys.modules["__main__"].__doc__
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    for path in paths:
        parser.add_argument(path.rstrip("*"), type=Path, nargs="*" if path.endswith("*") else None)
    for name, default in defaults.items():
        if default is False:
            parser.add_argument(f"--{name}", action="store_true")
        elif isinstance(default, list):
            parser.add_argument(f"--{name}", nargs="+", type=type(default[0]), default=default)
        else:
            parser.add_argument(f"--{name}", type=type(default), default=default)
    return parser.parse_args()


def row(*cells):
    """Print a row of a Markdown table."""
    print("|", " | ".join(map(str, cells)), "|")


def head(*names):
    """Print the first two rows of a table."""
    row(*names)
    row(*["---"] * len(names))


@contextmanager
def new_folder():
    """A folder that is removed at the end."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder).resolve()


def photos(*folders):
    """Return the paths of all images in folders."""
    from clipiqa_pyiqa.workbench.sources import finding  # not there in older checkouts

    find = getattr(finding, "find_sources", None) or finding.find_shards  # its name in older ones
    return find(folders).paths


def pixels(path):
    """Return an image's pixels, (3, H, W) in [0, 1]."""
    return read_image(path).pixels.float() / 255


def images(count, height, width):
    """Return random images, (N, 3, H, W): times do not depend on what they show."""
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(0))


def seeded(backbone, folder):
    """Return a metric's options for a backbone with seeded weights, kept in a folder; mini has weights of its own."""
    from seeded import save_seeded

    if backbone == "mini":
        return {"backbone": "mini"}
    weights = folder / f"{backbone.replace('/', '-')}.safetensors"
    if not weights.exists():
        save_seeded(folder, backbone)
    return {"backbone": backbone, "clip_weights": weights, "quick_gelu": True}


def in_turns(works, rounds, clock=time.perf_counter):
    """Return the seconds of each work in every round, after one that does not count; the order alternates."""
    taken = {name: [] for name in works}
    for number in range(rounds + 1):
        for name in list(works)[:: 1 if number % 2 else -1]:
            gc.collect()
            start = clock()
            works[name]()
            taken[name].append(clock() - start)
    return {name: seconds[1:] for name, seconds in taken.items()}


def ratio(seconds, others):
    """Return the median and the range of the rounds' ratios, as two cells of a table."""
    ratios = [one / other for one, other in zip(seconds, others, strict=True)]
    return f"{statistics.median(ratios):.2f} | {min(ratios):.2f} to {max(ratios):.2f}"


def alone(function, *arguments):
    """Return a function's result from a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def peak(work):
    """Return the megabytes that a work takes beyond what this process holds (Linux)."""
    gc.collect()
    give_back_memory()  # or what was freed before would serve
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = resident("VmRSS")
    work()
    return (resident("VmHWM") - before) / 1e6


def resident(name):
    """Return a line of this process's status (Linux), in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(name))


def entry_points_of(checkout, folder):
    """Return a folder with a checkout's entry points, made from its ``setup.py``."""
    entry_points = folder / f"entry-points-of-{checkout.name}"
    entry_points.mkdir(exist_ok=True)
    command = [sys.executable, "setup.py", "-q", "egg_info", "--egg-base", str(entry_points)]
    subprocess.run(command, cwd=checkout, check=True, capture_output=True)
    return entry_points


def command_of(entry_points):
    """Return what Python runs as the command ``clipiqa`` of the checkout whose entry points are in a folder."""
    for distribution in distributions(path=[str(entry_points)]):
        scripts = list(distribution.entry_points.select(group="console_scripts", name="clipiqa"))
        if scripts:
            module = scripts[0].module
            function = scripts[0].attr
            return ["-c", f"import sys; from {module} import {function}; sys.exit({function}())"]
    return ["-m", "clipiqa_pyiqa"]


def environment(checkout, folder):
    """Return environment variables that choose a checkout, and keep caches and entry points in a folder."""
    # pyiqa finds the metric by its entry point: that of this checkout, whatever is installed
    path = f"{entry_points_of(checkout, folder)}{os.pathsep}{checkout}"
    own = {"PYTHONPATH": path, "HOME": str(folder), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    # `python -c` would take the package of the current folder first, for both checkouts
    return {"PATH": os.environ["PATH"], "PYTHONSAFEPATH": "1", "OMP_WAIT_POLICY": "PASSIVE", **own}
