"""Odd command lines, thousands with ``--long``: every command that there is, every option, absurd values.

A command line is valid but for one or two values. It must end with one of our exit codes, without a traceback, in text
that cannot steer a terminal; not with 0 where the value is nonsense for its option; and with every file that was there
before as it was.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import random
import resource
import shutil
import socket
import stat
import traceback
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from PIL import Image
from test_hostile_text import UNSAFE
from time_limit import time_limit

from clipiqa_pyiqa.cli import function_of, main, parsers
from clipiqa_pyiqa.images.memory import limit_memory

MINI = ("-b", "mini", "--device", "cpu")
GOOD: dict[str, tuple[str, ...]] = {  # a command line of each command that works, in the folder `world`
    "demo": ("--out", "new/demo.png"),
    "score": ("photos", *MINI),
    "map": ("photos/0.png", *MINI),
    "compare": ("-m", "entropy", "-d", "photos", "--bootstrap", "0"),
    "table": ("--methods", "a=photos", "b=better", "-m", "entropy"),
    "gate": ("base.csv", "new.csv"),
    "prompts": (),
    "protocols": (),
    "prompts search": ("scores.csv", "--candidates", "pairs.txt", "--bootstrap", "5", *MINI, "--features", "new/store"),
    "train": ("scores.csv", "--epochs", "1", *MINI, "--features", "new/store", "--out", "new/run"),
    "fit": ("scores.csv", *MINI, "--method", "affine", "--features", "new/store", "--out", "new/head.safetensors"),
    "export": ("new/model.onnx", *MINI),
    "weights": ("--backbone", "mini"),
    "verify": ("--images", "photos/0.png", "--backbone", "mini"),
    "radar": ("photos/0.png", *MINI),
    "sweep": ("photos/0.png", "--changes", "brightness", "--steps", "2", "--scales", "1", *MINI),
    "pairs": ("photos", "better", *MINI),
    "rank": ("photos", *MINI),
    "agreement": ("votes.csv", *MINI),
}
MOST_BYTES = 4 << 30  # that command lines about a few small pictures may take
SLOW = ("demo", "export", "train")  # seconds each: tried in the long form
NUMBERS = ("nan", "-inf", "1e24", "-1", "-999999999999999999999", "9" * 5000, "10000000", "1e-400", "0x10", "1_0", "٣")
NAMES = (
    *("", " ", "-", "--", "=", "\x1b[2J\x07", "\u202egpj.exe", "a\rb\nc", "n" * 300, "n/" * 3000, "~"),
    *("~nobody-here/x", "no/such/file", "photos", "photos/0.png", "scores.csv", "socket", "device", "loop"),
    *("empty", "full", "new.csv/x", "s3://", "file:///etc/passwd", "http://127.0.0.1:9/x.pt", "{0..999999999}.tar"),
    *("[", "**", "|", "a|b", "{}", "a=b", "entropy:", "entropy:=", "x=entropy:a=[[[", os.fsdecode(b"latin\xe9")),
    *("\ud800", "%s%n", "9" * 5000, "a\0b"),
)
FILES = ("photos/0.png", "better/1.png", "scores.csv", "base.csv", "new.csv", "votes.csv", "pairs.txt", "empty")
PLACES = (*FILES, "photos", "fifo", "socket", "device", "loop", "full", "empty/x", "n" * 300, "~nobody-here/x")
OUTPUTS = ("out", "download_to", "page", "copy_to", "move_to", "link_to", "write_shards", "path")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with all that the command lines name, and with files of others."""
    folder = tmp_path_factory.mktemp("world")
    for place, more in (("photos", 0), ("better", 3)):
        (folder / place).mkdir()
        for n in range(4):
            Image.effect_noise((48, 40), 9 + 20 * n + more).convert("RGB").save(folder / place / f"{n}.png")
    rows = [f"photos/{n}.png,{n + 1},{split}\n" for n, split in enumerate(("train", "train", "train", "val"))]
    (folder / "scores.csv").write_text("image,mos,split\n" + "".join(rows))
    for name, more in (("base.csv", 0), ("new.csv", 0.1)):
        (folder / name).write_text("path,quality\n" + "".join(f"{n}.png,{n / 10 + more}\n" for n in range(4)))
    (folder / "votes.csv").write_text("attribute,first,second,choice\nquality,photos/0.png,photos/1.png,first\n")
    (folder / "pairs.txt").write_text("Good photo.|Bad photo.\nBright photo.|Dark photo.\n")
    (folder / "empty").touch()
    (folder / "loop").symlink_to("loop")
    os.mkfifo(folder / "fifo")
    (folder / "full").symlink_to("/dev/full")
    with contextlib.suppress(OSError):  # needs to be root
        os.mknod(folder / "device", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    here = os.getcwd()
    with socket.socket(socket.AF_UNIX) as listening:
        os.chdir(folder)  # as paths of sockets are short
        listening.bind("socket")
        reader = os.open("fifo", os.O_RDWR)  # so that nobody waits for the other end
        yield folder
        os.close(reader)
        os.chdir(here)


def options() -> dict[str, list[argparse.Action]]:
    """What can be said to each command."""
    _, commands = parsers()
    for name, parser in commands.items():
        parser.declare(function_of(name))
    return {name: [a for a in parser._actions if a.dest != "help"] for name, parser in commands.items()}


def contents(folder: Path) -> dict[str, bytes | None]:
    """Every file with its bytes; other places without."""
    found = {}
    for place in sorted(folder.rglob("*")):
        is_file = place.is_file() and not place.is_symlink()
        found[str(place.relative_to(folder))] = place.read_bytes() if is_file else None
    return found


def odd(action: argparse.Action, generator: random.Random) -> tuple[list[str], str]:
    """Words for an option with an absurd value, and the value."""
    is_number = action.type is not None and action.type is not Path
    value = generator.choice(NUMBERS if is_number and generator.random() < 0.7 else NAMES)
    if not action.option_strings:
        return [value], value
    if action.nargs == 0 or generator.random() < 0.3 or value.startswith("-"):
        return [f"{action.option_strings[-1]}={value}"], value
    more = [value] * (action.nargs - 1 if isinstance(action.nargs, int) else 0)
    return [action.option_strings[-1], value, *more], value


def refuses(action: argparse.Action, value: str) -> bool:
    """Whether the value is nonsense for its option beyond doubt, so that 0 would be a lie."""
    if action.nargs == 0 or (action.choices is not None and value not in action.choices):
        return True
    if action.type in (None, Path):
        return False
    try:
        return not math.isfinite(number := float(value)) or abs(number) > 1e20
    except (ValueError, OverflowError):
        return True


class Trials:
    """Command lines in one folder, one after the other."""

    def __init__(self, world: Path, capfd: pytest.CaptureFixture[str]) -> None:
        self.world, self.capfd, self.before = world, capfd, contents(world)
        self.outcomes: Counter[int | None] = Counter()
        self.wrong: dict[str, list[str]] = {}

    def attempt(self, argv: list[str], nonsense: bool = False, may: Collection[str] = ()) -> int | None:
        """Run one; ``may`` are files that it was asked to replace."""
        (self.world / "new").mkdir(exist_ok=True)
        crash, code = "", None
        try:
            with time_limit(600):
                code = main(argv)
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else None
        except BaseException:
            crash = traceback.format_exc()[-600:]
        finally:
            limit_memory(None)
            os.chdir(self.world)
        out, err = self.capfd.readouterr()
        after = contents(self.world)
        changed = [path for path, data in self.before.items() if after.get(path, 0) != data and path not in may]
        wrong = {
            crash or f"exit code {code}": code not in (0, 1, 2),
            "a traceback was printed": "Traceback" in err,
            "it took all memory that it may take": "the memory does not suffice" in err,
            "unsafe text reached the terminal": UNSAFE.search((out + err).replace("\r\x1b", "").replace("\r", "")),
            "nothing is said": code and not err + out,
            "0 for nonsense": nonsense and code == 0,
            "a long message": max(map(len, err.splitlines()), default=0) > 1500,
            f"changed: {changed}": changed,
        }
        self.wrong |= {f"{argv[0]}: {what}": argv for what, found in wrong.items() if found}
        for path in sorted(after.keys() - self.before.keys(), reverse=True):
            place = self.world / path
            with contextlib.suppress(OSError):
                shutil.rmtree(place) if place.is_dir() and not place.is_symlink() else place.unlink()
        for path in (path for path, data in self.before.items() if data is not None and after.get(path) != data):
            (self.world / path).write_bytes(self.before[path] or b"")
        self.outcomes[code] += 1
        return code

    def end(self, what: str) -> None:
        print(f"\n{what}: {self.outcomes.total()} command lines, {dict(self.outcomes)}, {len(self.wrong)} wrong")
        assert not self.wrong, "\n".join(f"{said}\n    {argv!r:.600}" for said, argv in sorted(self.wrong.items()))


@pytest.fixture
def trials(world: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Trials]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(world / "new/cache"))
    monkeypatch.setenv("HOME", str(world / "new/home"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for name in ("https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY"):  # nothing is asked of anybody
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    most = used + MOST_BYTES if before[1] == resource.RLIM_INFINITY else min(used + MOST_BYTES, before[1])
    resource.setrlimit(resource.RLIMIT_AS, (most, before[1]))
    yield Trials(world, capfd)
    resource.setrlimit(resource.RLIMIT_AS, before)


def test_odd_values_end_with_an_exit_code_and_a_sentence(trials: Trials, metric: object, times: int) -> None:
    known = options()
    commands = [command for command in known if times > 1 or command not in SLOW]

    @settings(max_examples=25 if times == 1 else 150 * times, deadline=None, database=None, phases=[Phase.generate])
    @given(st.sampled_from(commands), st.randoms(use_true_random=False))
    def attempt(command: str, generator: random.Random) -> None:
        argv, nonsense = [*GOOD[command]], False
        for action in generator.sample(known[command], generator.choice((1, 1, 1, 2))):
            words, value = odd(action, generator)
            nonsense |= refuses(action, value)
            argv = [*argv, *words] if action.option_strings else [*words, *argv[1:]]
        trials.attempt([*command.split(), *argv], nonsense)

    attempt()
    trials.end("odd values")


def test_odd_outputs_replace_no_input(trials: Trials, metric: object, times: int) -> None:
    """``--out`` of every command at what is there already: inputs stay, and files of others unless told otherwise."""
    generator = random.Random(12)
    for command, actions in options().items():
        if times == 1 and command in SLOW:
            continue
        named = {word.rpartition("=")[2] for word in GOOD[command]}
        inputs = {file for file in FILES if {file, file.split("/")[0]} & named}
        flags = {flag for action in actions for flag in action.option_strings}
        for out in [(a.option_strings or ("",))[-1] for a in actions if a.dest in OUTPUTS]:
            for place in PLACES if times > 1 else generator.sample(PLACES, 1):
                more = generator.choice([[], *([flag] for flag in ("--overwrite", "--resume") if flag in flags)])
                given = [*GOOD[command], *more]
                given = [*given, out, place] if out else [place, *given[1:]]
                given += ["--best", "2"] if out.endswith("-to") else []
                trials.attempt([*command.split(), *given], may=set(FILES) - inputs if more == ["--overwrite"] else ())
    trials.end("odd outputs")
