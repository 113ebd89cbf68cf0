"""How fast one checkout of the package is beside another, in pairs and as ratios; run as a script, as no test.

    python tests/measure/speed_pairs.py OLD NEW [--rounds 5] [--photos DIR] [--count 100] [--only score ...]

The two take turns (OLD NEW, NEW OLD, …), each in a fresh process with one thread, so that other work on the machine
disturbs both alike; printed are the median of the rounds' ratios NEW / OLD, by the clock and in processor time, and the
range. Commands start from a process that has imported torch and the like, but nothing of the package; ``--help``, the
import and the first score of a cold start begin with the interpreter. Compare a checkout with itself first: that shows
how far from 1 chance alone takes a ratio on this machine.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

from checkouts.cases import Case
from checkouts.inputs import make_inputs
from checkouts.runner import CHECKOUT, HERE, Ran, Runner, environment

COMMANDS = (
    Case("score {count} photos", "score IN/photos MINI --out scores.csv --overwrite --prompts quality sharpness"),
    Case("compare, 2 metrics, {few} images", "compare -m clipiqa:backbone=mini entropy -d IN/few.csv --bootstrap 0 -q"),
    Case(
        "train on {count} stored features",
        "train IN/scores.csv MINI --out out --overwrite --epochs 20 --features store",
    ),
)
COMMAND = "import sys; from clipiqa_pyiqa.cli import main; sys.exit(main())"
SIDES = ((224, 224), (512, 512), (768, 1024))
COLD = {
    "clipiqa --help": ["-c", COMMAND, "--help"],
    "import clipiqa_pyiqa": ["-c", "import clipiqa_pyiqa"],
    "score one photo, cold": ["-c", COMMAND, "score", "--backbone", "mini", "PHOTO"],
}
Measure = Callable[[int], Ran]
"""Runs something once in checkout 0 or 1."""


def works(
    stage: Path, checkouts: tuple[Path, Path], runners: tuple[Runner, Runner], count: int
) -> Iterator[tuple[str, Measure]]:
    """Name -> what to measure."""
    folders = [stage / side / "run" for side in ("old", "new")]
    environments = [environment(checkout, folder.parent) for checkout, folder in zip(checkouts, folders, strict=True)]
    for folder in folders:
        folder.mkdir(exist_ok=True)
    few = sorted((stage / "in/few").iterdir())
    for case in COMMANDS:
        yield (
            case.name.format(count=count, few=len(few)),
            lambda side, case=case: _checked(  # type: ignore[misc]
                runners[side].run(case.argv, folders[side]), folders[side]
            ),
        )
    for height, width in SIDES:

        def encode(side: int, size: tuple[int, int] = (height, width)) -> Ran:
            folder = folders[side]
            _checked(runners[side].run([*map(str, size)], folder, script=HERE / "encode.py"), folder)
            return Ran(0, *map(float, (folder / "stdout").read_text().split()))

        yield f"encode_image 1×{height}×{width}", encode
    for name, arguments in COLD.items():
        words = [str(few[0]) if word == "PHOTO" else word for word in arguments]
        yield name, lambda side, words=words: _cold(words, environments[side], folders[side])  # type: ignore[misc]


def _checked(ran: Ran, folder: Path) -> Ran:
    if ran.code:
        raise SystemExit(f"it failed in {folder.parent.name}: {(folder / 'stderr').read_text()}")
    return ran


def _cold(words: list[str], env: dict[str, str], folder: Path) -> Ran:
    start, before = time.perf_counter(), os.times()
    subprocess.run([sys.executable, *words], cwd=folder, env=env, check=True, capture_output=True)
    seconds, after = time.perf_counter() - start, os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return Ran(0, seconds, cpu)


def in_pairs(measure: Measure, rounds: int) -> list[tuple[Ran, Ran]]:
    """What OLD and NEW took in each round, after one that does not count; who begins alternates."""
    pairs = []
    for number in range(rounds + 1):
        order = (0, 1) if number % 2 else (1, 0)
        took = {side: measure(side) for side in order}
        pairs.append((took[0], took[1]))
    return pairs[1:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--photos", type=Path, default=CHECKOUT.parent / "shared/data/biq2021", help="folder")
    parser.add_argument("--count", type=int, default=100, help="photos drawn from it (default: 100)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument(
        "--only", nargs="+", default=[""], metavar="WORD", help="rows whose name begins with one of these"
    )
    args = parser.parse_args()
    checkouts = args.old.resolve(), args.new.resolve()
    stage = Path(tempfile.mkdtemp(prefix="speed-pairs-")).resolve()
    try:
        make_inputs(stage / "in", args.photos, args.count, weights=False)
        with ExitStack() as stack:
            runners = tuple(
                stack.enter_context(Runner(environment(checkout, stage / side)))
                for checkout, side in zip(checkouts, ("old", "new"), strict=True)
            )
            print("| work | OLD, s | NEW, s | NEW / OLD, clock | NEW / OLD, processor | range (clock) |")
            print("|---|---|---|---|---|---|")
            for name, measure in works(stage, checkouts, runners, args.count):  # type: ignore[arg-type]
                if name.startswith(tuple(args.only)):
                    print(_row(name, in_pairs(measure, args.rounds)), flush=True)
    finally:
        shutil.rmtree(stage)


def _row(name: str, pairs: list[tuple[Ran, Ran]]) -> str:
    clock, cpu = ([getattr(new, k) / getattr(old, k) for old, new in pairs] for k in ("seconds", "cpu"))
    old, new = (statistics.median(pair[side].seconds for pair in pairs) for side in (0, 1))
    ratios = f"{statistics.median(clock):.3f} | {statistics.median(cpu):.3f} | {min(clock):.2f} to {max(clock):.2f}"
    return f"| {name} | {old:.3g} | {new:.3g} | {ratios} |"


if __name__ == "__main__":
    main()
