"""The figures of docs/scale.md: shards of real photos scored here and on Ray, under kills, from an endless source, and
what the engines cost beyond a plain loop.

    python tests/measure/lake.py make PHOTOS DIR              # 200 tar shards of a folder's photos
    python tests/measure/lake.py kills DIR worker|driver|raylet --times 10 --max-side 256
    python tests/measure/lake.py endless --engine local --seconds 600
    python tests/measure/lake.py cost DIR --rounds 3          # CPU seconds over all processes, against a plain loop
    python tests/measure/lake.py cost DIR --without-encoding  # the same with a metric that costs nothing

A process's CPU time is read from /proc, of every process that has inherited a variable of this run's environment.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import random
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas

MARK = "CLIPIQA_MEASURE"
TICK = os.sysconf("SC_CLK_TCK")
ASIDE = 4  # shards at both ends whose time does not count: processes start, and work under way is the same at both
RAY = ["--engine", "ray", "--actors", "2", "--cpus-per-actor", "0.5", "--workers", "1"]


def make(photos: Path, out: Path, shards: int = 200) -> None:
    files = sorted(photos.iterdir())
    out.mkdir(parents=True, exist_ok=True)
    for number in range(shards):
        with tarfile.open(out / f"{number:03d}.tar", "w") as archive:
            for file in files[number::shards]:
                for suffix, data in (
                    (file.suffix, file.read_bytes()),
                    (".json", json.dumps({"id": file.stem}).encode()),
                ):
                    info = tarfile.TarInfo(file.stem + suffix)
                    info.size = len(data)
                    archive.addfile(info, io.BytesIO(data))
    print(f"{len(files)} photos in {shards} shards")


def processes(mark: str) -> dict[int, tuple[str, int, float, float]]:
    """Processes of this run: id -> command, parent, CPU seconds with those of its ended children, resident MB."""
    found = {}
    for folder in Path("/proc").iterdir():
        try:
            if not folder.name.isdigit() or f"{MARK}={mark}".encode() not in (folder / "environ").read_bytes():
                continue
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            cpu = sum(map(int, fields[11:15])) / TICK
            found[int(folder.name)] = command, int(fields[1]), cpu, int(fields[21]) * 4096 / 1e6
        except (OSError, IndexError, ValueError):
            continue
    return found


def start(shards: str, out: Path, mark: str, options: list[str]) -> subprocess.Popen[bytes]:
    command = [
        sys.executable,
        "-m",
        "clipiqa_pyiqa",
        "score",
        shards,
        "--backbone",
        "mini",
        "--out",
        str(out),
        *options,
    ]
    return subprocess.Popen(command, env={**os.environ, MARK: mark}, stderr=subprocess.PIPE, start_new_session=True)


def end_all(mark: str) -> None:
    for pid in processes(mark):
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)


def rows(out: Path) -> pandas.DataFrame:
    return pandas.concat([pandas.read_parquet(path) for path in sorted(out.glob("*.parquet"))], ignore_index=True)


def kills(folder: Path, whom: str, times: int, engine: list[str], seed: int) -> None:
    generator = random.Random(seed)
    shards = f"{folder}/*.tar"
    place = Path(tempfile.mkdtemp())
    reference = folder.parent / f"{folder.name}-reference{'-'.join(engine)}"
    if not reference.exists():
        process = start(shards, reference, "reference", [*engine, "--workers", "1"])
        print((process.communicate()[1] or b"").decode().strip().splitlines()[-3])
    out, killed, runs, begun = place / "out", 0, 0, time.monotonic()
    total = len(list(folder.glob("*.tar")))
    while True:
        mark, runs = uuid.uuid4().hex, runs + 1
        before = len(list(out.glob("*.parquet")))
        process = start(shards, out, mark, [*engine, *RAY])
        due = time.monotonic() + generator.uniform(2, 12)
        seen = False
        while process.poll() is None:
            time.sleep(0.2)
            seen = seen or len(list(out.glob("*.parquet"))) > before  # it is at work, not only starting
            if not seen:
                due = max(due, time.monotonic() + generator.uniform(0, 6))
            if killed < times and seen and time.monotonic() > due and len(list(out.glob("*.parquet"))) < total:
                names = {
                    "worker": ("ray::_", "ray::IDLE"),
                    "raylet": ("raylet/raylet",),
                    "driver": ("clipiqa_pyiqa score",),
                }[whom]
                chosen = [pid for pid, (said, *_) in processes(mark).items() if any(n in said for n in names)]
                if chosen:
                    os.kill(generator.choice(chosen), signal.SIGKILL)
                    killed, due = killed + 1, time.monotonic() + generator.uniform(2, 12)
                    print(
                        f"kill {killed} of a {whom} with {len(list(out.glob('*.parquet')))} of {total} shards done",
                        flush=True,
                    )
        said = (process.stderr.read() if process.stderr else b"").decode(errors="replace").strip().splitlines()
        print(f"run {runs} ended with {process.returncode}: {said[-3:] if process.returncode else ''}", flush=True)
        end_all(mark)
        if process.returncode == 0:
            break
        if runs > 3 * times + 5:
            raise SystemExit("it does not come to an end")
    mine, theirs = rows(out).sort_values("path"), rows(reference).sort_values("path")
    assert len(list(out.glob("*.parquet"))) == total
    assert mine.path.is_unique and list(mine.path) == list(theirs.path), "an image is missing or twice"
    difference = (mine.quality.to_numpy() - theirs.quality.to_numpy()).__abs__().max()
    print(
        f"{killed} kills of a {whom}, {runs} runs, {len(mine)} images, each once; largest difference of scores "
        f"{difference:g}; {time.monotonic() - begun:.0f} s"
    )


class Endless:
    """A shard of JPEGs that are made when they are asked for, each other bytes."""

    def __init__(self, number: int, count: int) -> None:
        self.name, self._number, self._count = f"made-{number:04d}", number, count

    def entries(self) -> Iterator[Any]:
        from PIL import Image

        from clipiqa_pyiqa.images.shards.members import Entry

        generator = random.Random(self._number)
        noise = Image.frombytes("RGB", (40, 30), generator.randbytes(3600))
        for number in range(self._count):
            file = io.BytesIO()
            noise.resize((160 + 8 * (number % 4), 120)).save(file, "JPEG", comment=f"{self._number}.{number}".encode())
            yield Entry(f"{self.name}::{number}", file.getvalue())


def endless(engine: str, seconds: float) -> None:
    import clipiqa_pyiqa
    from clipiqa_pyiqa.ray import RayEngine

    mark = uuid.uuid4().hex
    if MARK not in os.environ:
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, MARK: mark})
    mark = os.environ[MARK]
    metric = clipiqa_pyiqa.CLIPIQA(backbone="mini", aggregate=None)
    begun, told, count = time.monotonic(), [], 0

    class Enough(Exception):
        pass

    def progress(images: int, *_: int) -> None:
        nonlocal count
        count, passed = images, time.monotonic() - begun
        if not told or passed > told[-1][0] + 10:
            told.append((passed, images, sum(memory for *_, memory in processes(mark).values())))
            print("{:.0f} s, {} images, {:.0f} MB over all processes".format(*told[-1]), flush=True)
        if passed > seconds:
            raise Enough

    with tempfile.TemporaryDirectory() as out:
        chosen = RayEngine(2, cpus_per_actor=0.5) if engine == "ray" else None
        with contextlib.suppress(Enough):
            clipiqa_pyiqa.score_sources(
                metric,
                [Endless(n, 1000) for n in range(1000)],
                out=out,
                device="cpu",
                workers=1,
                engine=chosen,
                progress=progress,
            )
    first = [memory for passed, _, memory in told if 30 <= passed <= 90]
    last = [memory for passed, _, memory in told if passed >= seconds - 60]
    print(
        f"{engine}: {count} images in {time.monotonic() - begun:.0f} s; first minute (from 30 s) {max(first):.0f} MB, "
        f"last minute {max(last):.0f} MB, peak {max(memory for *_, memory in told):.0f} MB"
    )


class Nothing:
    """A metric that does not look at its images."""

    template, columns = None, ("quality",)

    def encode_image(self, x: Any) -> Any:
        return x[:, :1, 0, 0]

    def score(self, features: Any, prompts: Any = None) -> Any:
        return features

    def provenance(self) -> dict[str, str]:
        return {"metric": "nothing"}


def cost(folder: Path, rounds: int, shards: int, modes: list[str], free: bool) -> None:
    """CPU seconds an image: a plain loop, the local engine, Ray; in turns, each in a process of its own."""
    found: dict[str, list[float]] = {mode: [] for mode in ("loop", *modes)}
    for _ in range(rounds):
        for mode in found:
            mark = uuid.uuid4().hex
            command = [sys.executable, __file__, "one", str(folder), mode, "--shards", str(shards)]
            command += ["--without-encoding"] * free
            done = subprocess.run(command, env={**os.environ, MARK: mark}, capture_output=True, text=True)
            found[mode].append(float(done.stdout.split()[-1]))
            print(mode, f"{1000 * found[mode][-1]:.2f} ms CPU an image", flush=True)
    for mode in modes:
        more = sorted(1000 * (one - loop) for one, loop in zip(found[mode], found["loop"], strict=True))
        print(f"{mode} - loop: {', '.join(f'{ms:.2f}' for ms in more)} ms; median {more[len(more) // 2]:.2f} ms")
        ratios = sorted(one / loop for one, loop in zip(found[mode], found["loop"], strict=True))
        print(f"{mode} / loop: {', '.join(f'{ratio:.3f}' for ratio in ratios)}; median {ratios[len(ratios) // 2]:.3f}")


def one(folder: Path, mode: str, shards: int, free: bool) -> None:
    """What ``cost`` measures: CPU seconds an image over all processes, without the first and the last shards."""
    import torch

    import clipiqa_pyiqa
    from clipiqa_pyiqa.images.batches import stacked
    from clipiqa_pyiqa.images.reader import read_image
    from clipiqa_pyiqa.images.shards.members import Entry
    from clipiqa_pyiqa.ray import RayEngine

    mark = os.environ[MARK]
    metric: Any = Nothing() if free else clipiqa_pyiqa.CLIPIQA(backbone="mini", aggregate=None)
    paths = sorted(map(str, folder.glob("*.tar")))[: shards + 2 * ASIDE]
    told: dict[int, tuple[float, int]] = {}  # shards that were done -> CPU seconds until then, and images

    def note(images: int, done: int, *_: int) -> None:
        if done not in told and done in (ASIDE, ASIDE + shards):
            told[done] = sum(cpu for *_, cpu, _ in processes(mark).values()), images

    if mode == "loop":
        count = 0
        for number, path in enumerate(paths):
            note(count, number)
            with tarfile.open(path) as archive:
                for member in archive:
                    if member.name.endswith(".jpg"):
                        data = archive.extractfile(member).read()  # type: ignore[union-attr]
                        record = read_image(Entry(member.name, data))
                        with torch.no_grad():
                            metric.score(metric.encode_image(stacked([record.pixels], "cpu")))
                        count += 1
    else:
        engine = RayEngine(2, cpus_per_actor=0.5) if mode == "ray" else None
        with tempfile.TemporaryDirectory() as out:
            clipiqa_pyiqa.score_sources(metric, paths, out=out, device="cpu", workers=1, engine=engine, progress=note)
    (before, few), (after, many) = told[ASIDE], told[ASIDE + shards]
    print((after - before) / (many - few))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_subparsers(dest="what", required=True)
    parsers = {name: what.add_parser(name) for name in ("make", "kills", "endless", "cost", "one")}
    parsers["make"].add_argument("photos", type=Path)
    for name in ("make", "kills", "cost", "one"):
        parsers[name].add_argument("folder", type=Path)
    parsers["kills"].add_argument("whom", choices=("worker", "driver", "raylet"))
    parsers["kills"].add_argument("--times", type=int, default=10)
    parsers["kills"].add_argument("--max-side", default="512")
    parsers["kills"].add_argument("--seed", type=int, default=0)
    parsers["endless"].add_argument("--engine", choices=("local", "ray"), default="local")
    parsers["endless"].add_argument("--seconds", type=float, default=600)
    parsers["cost"].add_argument("--rounds", type=int, default=3)
    parsers["one"].add_argument("mode")
    for name in ("cost", "one"):
        parsers[name].add_argument("--shards", type=int, default=20)
        parsers[name].add_argument("--without-encoding", action="store_true")
    parsers["cost"].add_argument("--modes", nargs="+", default=["local", "ray"])
    args = parser.parse_args()
    if args.what == "make":
        make(args.photos, args.folder)
    elif args.what == "kills":
        kills(args.folder, args.whom, args.times, ["--max-side", args.max_side], args.seed)
    elif args.what == "endless":
        endless(args.engine, args.seconds)
    elif args.what == "cost":
        cost(args.folder, args.rounds, args.shards, args.modes, args.without_encoding)
    else:
        one(args.folder, args.mode, args.shards, args.without_encoding)


if __name__ == "__main__":
    main()
