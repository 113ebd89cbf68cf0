"""Figures of scoring by shard: real photos scored here and on Ray, under kills, from an endless source, and
what the engines cost beyond a plain loop.

    python tests/measure/lake.py all PHOTOS DIR                         # all of what follows, each into DIR/NAME.log
    python tests/measure/lake.py make PHOTOS DIR                        # 200 tar shards of a folder's photos
    python tests/measure/lake.py run DIR OUT --engine local             # score them
    python tests/measure/lake.py run DIR OUT2 --engine ray --against OUT
    python tests/measure/lake.py kills DIR OUT scorer --times 10       # or worker, driver, raylet
    python tests/measure/lake.py kills DIR OUT driver --engine local
    python tests/measure/lake.py endless --engine ray --seconds 600
    python tests/measure/lake.py cost DIR --rounds 3                     # CPU time beyond a plain loop, in pairs
    python tests/measure/lake.py cost DIR --rounds 5 --without-encoding # the same with a metric that costs nothing

CPU time and memory are read from /proc, of every process that has inherited a variable of this run's environment.
Threads are those of ``OMP_NUM_THREADS``, 1 unless it is set; Ray gives actors of half a CPU as many.
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
from typing import IO, Any

MARK = "CLIPIQA_MEASURE"
TICK = os.sysconf("SC_CLK_TCK")
ASIDE = 4  # shards at both ends whose time does not count: processes start, and work under way is the same at both
RAY = ["--engine", "ray", "--actors", "2", "--cpus-per-actor", "0.5", "--workers", "1"]
OPTIONS = {"local": ["--workers", "1"], "ray": RAY}
WHOM = {
    "scorer": ("ray::Scoring",),
    "worker": ("ray::Scoring", "ray::decoded", "ray::IDLE"),
    "raylet": ("raylet/raylet",),
    "driver": ("clipiqa_pyiqa score",),
}
PATIENCE = 180  # seconds that a run may take to end after its driver or its raylet was killed
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("RAY_worker_niceness", "0")  # not 15, with which Ray's workers starve on a busy machine


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


def processes(mark: str) -> dict[int, tuple[str, float]]:
    """Processes of this run: id -> command, CPU seconds with those of its ended children."""
    found = {}
    for folder in Path("/proc").iterdir():
        try:
            if not folder.name.isdigit() or f"{MARK}={mark}".encode() not in (folder / "environ").read_bytes():
                continue
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if fields[0] != "Z":
                found[int(folder.name)] = command, sum(map(int, fields[11:15])) / TICK
        except (OSError, IndexError, ValueError):
            continue
    return found


def memory(mark: str) -> float:
    """MB of memory of this run, each shared page once (PSS)."""
    total = 0
    for pid in processes(mark):
        with contextlib.suppress(OSError, StopIteration):
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total * 1024 / 1e6


def start(shards: list[str], out: Path, mark: str, options: list[str]) -> tuple[subprocess.Popen[bytes], IO[bytes]]:
    """A run, and a file of what it says."""
    said = tempfile.TemporaryFile()  # noqa: SIM115 - not a pipe, which would be full one day
    command = [sys.executable, "-m", "clipiqa_pyiqa", "score", *shards, "--backbone", "mini", "--out", str(out)]
    environment = {**os.environ, MARK: mark}
    return subprocess.Popen([*command, *options], env=environment, stderr=said, start_new_session=True), said


def lines(said: IO[bytes]) -> list[str]:
    said.seek(0)
    return said.read().decode(errors="replace").strip().splitlines()


def end_all(mark: str) -> None:
    for pid in processes(mark):
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)


def compared(shards: list[str], out: Path, reference: Path) -> str:
    """How the results of two runs differ, as a sentence; whoever lacks an image or has one twice is stopped."""
    import pandas

    names = [f"{Path(shard).stem}.parquet" for shard in shards]
    assert sorted(path.name for path in out.glob("*.parquet")) == sorted(names), "a shard has no result"
    mine, theirs = (
        pandas.concat([pandas.read_parquet(folder / name) for name in names], ignore_index=True)
        for folder in (out, reference)
    )
    assert mine.path.is_unique and sorted(mine.path) == sorted(theirs.path), "an image is missing or twice"
    together = mine.set_index("path").loc[theirs.path]
    differ = int((together.quality.to_numpy() != theirs.quality.to_numpy()).sum())
    failed = int((mine.error.fillna("") != "").sum())
    return (
        f"{len(names)} shards, {len(mine)} images, each once, {failed} failed; {differ} scores differ from those of "
        f"{reference.name}"
    )


def run(folder: Path, out: Path, engine: str, against: Path | None) -> None:
    begun = time.monotonic()
    shards = sorted(map(str, folder.glob("*.tar")))
    process, said = start(shards, out, uuid.uuid4().hex, OPTIONS[engine])
    process.wait()
    print("\n".join(lines(said)[: 1 if process.returncode == 0 else None]))
    print(f"{engine}: ended with {process.returncode} after {time.monotonic() - begun:.0f} s", flush=True)
    if against is not None:
        print(compared(shards, out, against))


def kills(folder: Path, reference: Path, whom: str, engine: str, times: int, seed: int, first: int | None) -> None:
    """Kill at random moments, spread over the whole of the work; start again what ended; compare."""
    generator = random.Random(seed)
    out = Path(tempfile.mkdtemp()) / "out"
    shards = sorted(map(str, folder.glob("*.tar")))[:first]
    total = len(shards)
    # When so many shards have their result, and so many seconds later: also while a run starts.
    moments = sorted((generator.uniform(0, 0.97) * total, generator.uniform(0, 5)) for _ in range(times))
    killed, runs, begun = 0, 0, time.monotonic()
    while True:
        mark, runs, died = uuid.uuid4().hex, runs + 1, 0.0
        process, log = start(shards, out, mark, OPTIONS[engine])
        since: float | None = None
        while process.poll() is None:
            time.sleep(0.1)
            done, now = len(list(out.glob("*.parquet"))), time.monotonic()
            if died and now - died > PATIENCE:
                raise SystemExit(f"it does not end, {PATIENCE} seconds after its {whom} was killed")
            if killed == times or done < moments[killed][0] or done == total:
                continue
            since = now if since is None else since
            chosen = [pid for pid, (said, _) in processes(mark).items() if any(name in said for name in WHOM[whom])]
            if now - since < moments[killed][1] or not chosen or died:
                continue
            os.kill(generator.choice(chosen), signal.SIGKILL)
            killed, since = killed + 1, None
            died = time.monotonic() if whom in ("driver", "raylet") else 0.0
            print(f"kill {killed} of a {whom} with {done} of {total} shards done", flush=True)
        took = time.monotonic() - died if died else 0.0
        said = lines(log)
        told = [line for line in said if line.startswith("clipiqa score:")][:1]
        time.sleep(3 if died else 0)
        left = len(processes(mark))
        print(
            f"run {runs} ended with {process.returncode}{f' {took:.1f} s after the kill' * bool(died)}: {told}; {left} "
            f"processes left, {sum('starts again' in line for line in said)} shards started again",
            flush=True,
        )
        end_all(mark)
        if process.returncode == 0:
            break
        if runs > 3 * times + 5:
            raise SystemExit("it does not come to an end")
    hidden = [path.name for path in out.iterdir() if path.suffix != ".parquet" or path.name.startswith(".")]
    print(f"{killed} kills of a {whom} ({engine}), {runs} runs, {time.monotonic() - begun:.0f} s: ", end="")
    print(f"{compared(shards, out, reference)}; {len(hidden)} other files left {hidden[:3] or ''}")


class Endless:
    """A shard of JPEGs that are made when they are asked for, each other bytes, of several sizes up to 512 px."""

    sizes = ((512, 512), (160, 120), (384, 256), (168, 128), (240, 320), (176, 120), (192, 160), (200, 144))

    def __init__(self, number: int, count: int) -> None:
        self.name, self._number, self._count = f"made-{number:04d}", number, count

    def entries(self) -> Iterator[Any]:
        from PIL import Image

        from clipiqa_pyiqa.sources.members import Entry

        generator = random.Random(self._number)
        noise = Image.frombytes("RGB", (40, 30), generator.randbytes(3600))
        for number in range(self._count):
            file, size = io.BytesIO(), self.sizes[number % len(self.sizes)]
            noise.resize(size).save(file, "JPEG", comment=f"{self._number}.{number}".encode())
            yield Entry(f"{self.name}::{number}", file.getvalue())


def endless(engine: str, seconds: float) -> None:
    import numpy as np

    import clipiqa_pyiqa
    from clipiqa_pyiqa.ray import RayEngine

    if MARK not in os.environ:
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, MARK: uuid.uuid4().hex})
    mark = os.environ[MARK]
    metric = clipiqa_pyiqa.CLIPIQA(backbone="mini", aggregate=None)
    begun, told, count = time.monotonic(), [], 0

    class Enough(Exception):
        pass

    def progress(images: int, *_: int) -> None:
        nonlocal count
        count, passed = images, time.monotonic() - begun
        if not told or passed > told[-1][0] + 5:
            told.append((passed, images, memory(mark)))
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
    times, _, sizes = map(np.array, zip(*[each for each in told if each[0] >= 30], strict=True))
    slope = np.polyfit(times / 60, sizes, 1)[0]
    first, last, peak = sizes[times < 90].mean(), sizes[times > seconds - 60].mean(), max(each[2] for each in told)
    print(
        f"{engine}: {count} images in {time.monotonic() - begun:.0f} s; MB over all processes: mean of the first",
        end=" ",
    )
    print(f"minute (from 30 s) {first:.0f}, of the last {last:.0f}, peak {peak:.0f}, slope {slope:+.2f} a minute")


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
    """CPU time an image in pairs: a plain loop, and an engine; the loop in as many processes as score, since two
    processes on one core's two threads slow each other."""
    found: dict[str, list[tuple[float, float]]] = {mode: [] for mode in modes}
    for number in range(rounds):
        for mode in modes:
            loop = [f"loop {part}/2" for part in (1, 2)] if mode == "ray" else ["loop 1/1"]
            pair = {}
            for side in ([mode], loop) if number % 2 else (loop, [mode]):
                running = []
                for what in side:
                    command = [sys.executable, __file__, "one", str(folder), *what.split(), "--shards", str(shards)]
                    command += ["--without-encoding"] * free
                    environment = {**os.environ, MARK: uuid.uuid4().hex}
                    running.append(subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True))
                said = [float(process.communicate()[0].split()[-1]) for process in running]
                pair[side is loop] = 1000 * sum(said) / len(said)
            found[mode].append((pair[False], pair[True]))
            print(f"{mode} {pair[False]:.2f}, loop {pair[True]:.2f} ms CPU an image", flush=True)
    for mode, pairs in found.items():
        more = sorted(one - loop for one, loop in pairs)
        ratios = sorted(one / loop for one, loop in pairs)
        print(
            f"{mode} - loop: {', '.join(f'{ms:.2f}' for ms in more)} ms, median {more[len(more) // 2]:.2f}; {mode} / "
            f"loop: {', '.join(f'{ratio:.3f}' for ratio in ratios)}, median {ratios[len(ratios) // 2]:.3f}"
        )


def one(folder: Path, mode: str, part: str, shards: int, free: bool) -> None:
    """What ``cost`` measures: CPU seconds an image over all processes, without the first and the last shards."""
    import torch

    import clipiqa_pyiqa
    from clipiqa_pyiqa.images.batches import stacked
    from clipiqa_pyiqa.images.memory import keep_memory
    from clipiqa_pyiqa.images.reader import read_image
    from clipiqa_pyiqa.ray import RayEngine
    from clipiqa_pyiqa.sources.members import Entry

    mark = os.environ[MARK]
    keep_memory()  # as commands and actors do: a gain that is not the engine's
    metric: Any = Nothing() if free else clipiqa_pyiqa.CLIPIQA(backbone="mini", aggregate=None)
    paths = sorted(map(str, folder.glob("*.tar")))[: shards + 2 * ASIDE]
    told: dict[int, tuple[float, int]] = {}  # shards that were done -> CPU seconds until then, and images

    def note(images: int, done: int, *_: int) -> None:
        if done not in told and done in (ASIDE, ASIDE + shards):
            told[done] = sum(cpu for _, cpu in processes(mark).values()), images

    def batch(records: list[Any]) -> None:
        with torch.no_grad():
            metric.score(metric.encode_image(stacked([record.pixels for record in records], "cpu"))).numpy()

    if mode == "loop":
        count, own, of = 0, *map(int, part.split("/"))
        for number, path in enumerate(paths):
            note(count, number)
            if number % of != own - 1 and number >= ASIDE:
                continue
            waiting: dict[Any, list[Any]] = {}  # by size, as the engines do
            with tarfile.open(path) as archive:
                for member in archive:
                    if member.name.endswith(".jpg"):
                        data = archive.extractfile(member).read()  # type: ignore[union-attr]
                        record = read_image(Entry(member.name, data))
                        waiting.setdefault(record.pixels.shape, []).append(record)
                        count += 1
                        if len(waiting[record.pixels.shape]) == 8:
                            batch(waiting.pop(record.pixels.shape))
            for records in waiting.values():
                batch(records)
    else:
        engine = RayEngine(2, cpus_per_actor=0.5) if mode == "ray" else None
        with tempfile.TemporaryDirectory() as out:
            clipiqa_pyiqa.score_sources(metric, paths, out=out, device="cpu", workers=1, engine=engine, progress=note)
    (before, few), (after, many) = told[ASIDE], told[ASIDE + shards]
    print((after - before) / (many - few))


def everything(photos: Path, folder: Path) -> None:
    """The whole proof, one measurement after the other; a log of each, whose last line is its result."""
    shards, local = folder / "shards", folder / "local"
    runs = {
        "make": f"make {photos} {shards}",
        "local": f"run {shards} {local} --engine local",
        "ray": f"run {shards} {folder / 'ray'} --engine ray --against {local}",
        **{f"kills-{whom}": f"kills {shards} {local} {whom}" for whom in ("scorer", "driver", "raylet")},
        "kills-local": f"kills {shards} {local} driver --engine local",
        "cost": f"cost {shards}",
        "cost-without-encoding": f"cost {shards} --shards 150 --without-encoding",
        **{f"endless-{engine}": f"endless --engine {engine}" for engine in ("local", "ray")},
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, what in runs.items():
        with open(folder / f"{name}.log", "w") as log:
            subprocess.run([sys.executable, "-u", __file__, *what.split()], stdout=log, stderr=subprocess.STDOUT)
        print(f"{name}: {(folder / f'{name}.log').read_text().strip().splitlines()[-1]}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_subparsers(dest="what", required=True)
    parsers = {name: what.add_parser(name) for name in ("all", "make", "run", "kills", "endless", "cost", "one")}
    for name in ("all", "make"):
        parsers[name].add_argument("photos", type=Path)
    for name in ("all", "make", "run", "kills", "cost", "one"):
        parsers[name].add_argument("folder", type=Path)
    parsers["run"].add_argument("out", type=Path)
    parsers["run"].add_argument("--against", type=Path)
    parsers["kills"].add_argument("reference", type=Path)
    parsers["kills"].add_argument("whom", choices=tuple(WHOM))
    parsers["kills"].add_argument("--times", type=int, default=10)
    parsers["kills"].add_argument("--seed", type=int, default=0)
    parsers["kills"].add_argument("--first", type=int, help="only so many shards")
    for name, default in (("run", "local"), ("kills", "ray"), ("endless", "local")):
        parsers[name].add_argument("--engine", choices=("local", "ray"), default=default)
    parsers["endless"].add_argument("--seconds", type=float, default=600)
    parsers["cost"].add_argument("--rounds", type=int, default=3)
    parsers["one"].add_argument("mode")
    parsers["one"].add_argument("part", nargs="?", default="1/1")
    for name in ("cost", "one"):
        parsers[name].add_argument("--shards", type=int, default=40)
        parsers[name].add_argument("--without-encoding", action="store_true")
    parsers["cost"].add_argument("--modes", nargs="+", default=["local", "ray"])
    args = parser.parse_args()
    if args.what == "all":
        everything(args.photos, args.folder)
    elif args.what == "make":
        make(args.photos, args.folder)
    elif args.what == "run":
        run(args.folder, args.out, args.engine, args.against)
    elif args.what == "kills":
        kills(args.folder, args.reference, args.whom, args.engine, args.times, args.seed, args.first)
    elif args.what == "endless":
        endless(args.engine, args.seconds)
    elif args.what == "cost":
        cost(args.folder, args.rounds, args.shards, args.modes, args.without_encoding)
    else:
        one(args.folder, args.mode, args.part, args.shards, args.without_encoding)


if __name__ == "__main__":
    main()
