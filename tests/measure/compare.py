"""What a comparison costs beside the metrics themselves, as ratios; run as a script, as no test.

    python tests/measure/compare.py [--rounds 3] [--processes 3] [--images 24]

Three figures, each the median over rounds in which what is compared takes turns, on JPEGs of 1024×768 made from a
photo: four prompt variants of one backbone against one of them; the harness against a loop that decodes each image and
calls the metric; and the share of the time that metrics wait for decoding. The rounds are those of several fresh
processes: where the memory of one happens to lie favours one side or the other by up to a quarter, for as long as it
lives.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyiqa
import torch
from PIL import Image

from clipiqa_pyiqa.comparison.compare import compare

sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))
from seeded import save_seeded

BUNDLED = Path(__file__).parents[1] / "data"
VARIANTS: dict[str, dict[str, Any]] = {
    "quality": {},
    "sharpness": {"prompts": "sharpness"},
    "template": {"template": "A photo of {}."},
    "pyiqa": {"prompts": "pyiqa"},
}


def jpegs(folder: Path, count: int) -> list[Path]:
    """Photos of 1024×768 at quality 95, each of another part of a bundled photo, with the grain of a camera."""
    folder.mkdir()
    generator = np.random.default_rng(0)
    paths = []
    with Image.open(BUNDLED / "canyon-wren.jpg") as file:
        photo = file.convert("RGB")
    for number in range(count):
        left = number % 16
        part = photo.crop((left, 0, photo.width - 16 + left, photo.height)).resize(
            (1024, 768), Image.Resampling.BICUBIC
        )
        grainy = np.asarray(part) + generator.normal(0, 4, (768, 1024, 3))
        paths.append(folder / f"{number:03}.jpg")
        Image.fromarray(grainy.clip(0, 255).astype(np.uint8)).save(paths[-1], quality=95)
    return paths


Times = dict[str, list[tuple[float, float]]]
"""Of each kind of work and round: seconds by the clock, and seconds of all cores in this process."""


def in_turns(rounds: int, work: dict[str, Callable[[], object]]) -> Times:
    """Do one of each kind per round, after a round that does not count."""
    times: Times = {name: [] for name in work}
    for number in range(rounds + 1):
        for name, do in work.items():
            start = time.perf_counter(), time.process_time()
            do()
            if number:
                times[name].append((time.perf_counter() - start[0], time.process_time() - start[1]))
    return times


def ratio(times: Times, above: str, below: str) -> str:
    """The median of the rounds' ratios, and their range, by the clock; and in work done, whoever else was busy."""
    clock, work = ([a[kind] / b[kind] for a, b in zip(times[above], times[below], strict=True)] for kind in (0, 1))
    return (
        f"{statistics.median(clock):.3f} (rounds: {min(clock):.3f} to {max(clock):.3f}), in processor time "
        f"{statistics.median(work):.3f} ({min(work):.3f} to {max(work):.3f})"
    )


def in_fresh_processes(processes: int, measure: Callable[..., Times], *arguments: Any) -> Times:
    """The rounds of several processes, one after the other."""
    times: Times = {}
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        for _ in range(processes):
            for name, rounds in pool.apply(measure, arguments).items():
                times.setdefault(name, []).extend(rounds)
    return times


def variants(paths: Sequence[Path], weights: Path, rounds: int) -> Times:
    """Four prompt variants and one; the metrics are made beforehand, as their making is no scoring."""
    made = {
        label: pyiqa.create_metric("clipiqa", device="cpu", clip_weights=str(weights), **options)
        for label, options in VARIANTS.items()
    }
    folder = str(paths[0].parent)
    return in_turns(
        rounds, {"four": lambda: compare(made, folder), "one": lambda: compare({"one": made["quality"]}, folder)}
    )


def overhead(paths: Sequence[Path], name: str, options: dict[str, Any], rounds: int) -> Times:
    """The harness, a loop that decodes with pyiqa's reader and calls the metric, and the metric alone.

    With ``waiting``: of each run of the harness, the per cent of its time in which it waited for decoding.
    """
    metric = pyiqa.create_metric(name, device="cpu", **options)
    waits: list[float] = []

    class Waits(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "waited" in record.msg:
                waits.append(float(record.args[1]))  # type: ignore[index, arg-type]

    log = logging.getLogger("clipiqa_pyiqa")
    log.setLevel(logging.DEBUG)
    log.propagate = False
    log.addHandler(Waits())

    def loop() -> None:
        for path in paths:
            metric(str(path)).item()

    def decoded_loop() -> None:
        for image in images:
            metric(image).item()

    images = [_pixels(path) for path in paths]
    with tempfile.TemporaryDirectory() as out:

        def harness() -> None:
            compare({name: metric}, str(paths[0].parent), out=out, overwrite=True, bootstrap=0)

        times = in_turns(rounds, {"harness": harness, "loop": loop, "metric": decoded_loop})
    return times | {"waiting": [(share, share) for share in waits]}


def print_overhead(title: str, count: int, times: Times) -> None:
    each = statistics.median(clock for clock, _ in times["metric"]) / count
    waiting = statistics.median(share for share, _ in times["waiting"])
    print(f"{title}, {each * 1000:.1f} ms an image, {count} images:")
    print(f"  harness / loop that decodes and scores: {ratio(times, 'harness', 'loop')}; at most 1.05 is asked for")
    print(f"  harness / scoring alone, images decoded before: {ratio(times, 'harness', 'metric')}")
    print(f"  waiting for decoding: {waiting:.1f} % of the time; at most 10 is asked for", flush=True)


def _pixels(path: Path) -> torch.Tensor:
    from torchvision.transforms.functional import to_tensor

    with Image.open(path) as image:
        return to_tensor(image.convert("RGB"))[None]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3, help="in each process")
    parser.add_argument("--processes", type=int, default=3)
    parser.add_argument("--images", type=int, default=24, help="a quarter of them for CLIP-IQA")
    parser.add_argument("--weights", type=Path, help="RN50 weights; default: seeded ones are made")
    args = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, {torch.get_num_threads()} threads, torch {torch.__version__}")
    with tempfile.TemporaryDirectory() as folder:
        weights = args.weights or save_seeded(Path(folder))
        few, many = jpegs(Path(folder) / "few", max(4, args.images // 4)), jpegs(Path(folder) / "many", args.images)
        for title, paths, name, options in (
            ("piqe", many, "piqe", {}),
            ("small CLIP", many, "clipiqa", {"backbone": "mini"}),
            ("RN50", few, "clipiqa", {"clip_weights": str(weights)}),
        ):
            times = in_fresh_processes(args.processes, overhead, paths, name, options, args.rounds)
            print_overhead(title, len(paths), times)
        times = in_fresh_processes(args.processes, variants, few, weights, args.rounds)
        print(f"four variants / one variant: {ratio(times, 'four', 'one')}; at most 1.15 is asked for")


if __name__ == "__main__":
    main()
