"""Odd command lines, thousands with ``--long``: every command that there is, every option, absurd values.

A command line is valid but for one or two values. It must end with one of our exit codes, without a traceback, in text
that cannot steer a terminal; not with 0 where the value is nonsense for its option; and with every file that was there
before as it was.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import resource
import shutil
import signal
import socket
import stat
from collections import Counter
from collections.abc import Collection, Iterator
from pathlib import Path

import pytest
from hostile_yaml import HOSTILE
from PIL import Image
from test_hostile_text import UNSAFE

from clipiqa_pyiqa import CLIPIQA
from clipiqa_pyiqa.cli import function_of, main, parsers
from clipiqa_pyiqa.datasets.specification import CONFIG_KEYS
from clipiqa_pyiqa.images.memory import limit_memory

MINI = ("-b", "mini", "--device", "cpu")
GOOD: dict[str, tuple[str, ...]] = {  # a command line of each command that works, in the folder `world`
    "demo": ("--out", "new/demo.png"),
    "score": ("photos", *MINI),
    "map": ("photos/0.png", *MINI),
    "compare": ("-m", "entropy", "-d", "photos", "--bootstrap", "0", "--no-report"),
    "table": ("--methods", "a=photos", "b=better", "-m", "entropy", "--no-report"),
    "gate": ("base.csv", "new.csv"),
    "prompts": (),
    "protocols": (),
    "prompts search": ("scores.csv", "--candidates", "pairs.txt", "--bootstrap", "5", *MINI, "--features", "new/store"),
    "train": ("scores.csv", "--epochs", "1", *MINI, "--features", "new/store", "--out", "new/run"),
    "fit": ("scores.csv", *MINI, "--method", "affine", "--features", "new/store", "--out", "new/head.safetensors"),
    "export": ("new/model.onnx", *MINI, "--no-check"),
    "weights": ("--backbone", "mini"),
    "verify": ("--images", "photos/0.png", "--backbone", "mini"),
    "radar": ("photos/0.png", *MINI),
    "sweep": ("photos/0.png", "--changes", "brightness", "--steps", "2", "--scales", "1", *MINI),
    "pairs": ("photos", "better", *MINI),
    "rank": ("photos", *MINI),
    "agreement": ("votes.csv", *MINI),
}
MOST_BYTES = 4 << 30  # that command lines about a few small pictures may take
SLOW = ("demo", "export", "train")  # seconds each: tried less often
NUMBERS = (
    "nan",
    "-nan",
    "inf",
    "-inf",
    "1e24",
    "-1",
    "-999999999999999999999",
    "9" * 5000,
    "10000000",
    "99999999999",
    "1e-400",
    "0x10",
    "1_0",
    "٣",
)
NAMES = (
    *("", " ", "-", "--", "=", "\x1b[2J\x07", "\u202egpj.exe", "a\rb\nc", "n" * 300, "n/" * 3000, "~"),
    *("~nobody-here/x", "no/such/file", "photos", "photos/0.png", "scores.csv", "socket", "device", "loop"),
    *("empty", "full", "new.csv/x", "s3://", "file:///etc/passwd", "http://127.0.0.1:9/x.pt", "{0..999999999}.tar"),
    *("[", "**", "|", "a|b", "{}", "a=b", "entropy:", "entropy:=", "x=entropy:a=[[[", os.fsdecode(b"latin\xe9")),
    *("\ud800", "%s%n", "9" * 5000, "a\0b"),
)  # fmt: skip


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
    with socket.socket(socket.AF_UNIX) as listening:
        here = os.open(".", os.O_RDONLY)
        os.chdir(folder)  # as paths of sockets are short
        listening.bind("socket")
        reader = os.open("fifo", os.O_RDWR)  # so that nobody waits for the other end
        yield folder
        os.close(reader)
        os.fchdir(here)
        os.close(here)


def options() -> dict[str, list[argparse.Action]]:
    """What can be said to each command."""
    _, commands = parsers()
    for name, parser in commands.items():
        parser.declare(function_of(name))
    return {name: [a for a in parser._actions if a.dest != "help"] for name, parser in commands.items()}


def state(folder: Path) -> dict[str, tuple[int, ...]]:
    """Every file, and what would be another one if it was changed."""
    found = {}
    for place, folders, names in os.walk(folder):
        for name in [*folders, *names]:
            path = os.path.join(place, name)
            said = os.lstat(path)
            regular = stat.S_ISREG(said.st_mode)
            more = (said.st_size, said.st_mtime_ns, said.st_nlink) if regular else ()
            found[path] = (said.st_mode, said.st_ino, *more)
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
        number = float(value)
    except (ValueError, OverflowError):
        return True
    return number != number or abs(number) == float("inf") or abs(number) > 1e20


def stop(*_: object) -> None:
    raise AssertionError("it takes too long")


class Trials:
    """Command lines in one folder, one after the other."""

    def __init__(self, world: Path, capfd: pytest.CaptureFixture[str]) -> None:
        self.world, self.capfd = world, capfd
        self.before = state(world)
        self.content = {path: Path(path).read_bytes() for path, said in self.before.items() if stat.S_ISREG(said[0])}
        self.outcomes: Counter[str] = Counter()
        self.wrong: dict[str, list[str]] = {}
        signal.signal(signal.SIGALRM, stop)

    def attempt(self, argv: list[str], nonsense: bool = False, may: Collection[str] = (), note: str = "") -> int | None:
        """Run one; ``may`` are files that it was asked to replace, ``note`` is what else it was given."""
        (self.world / "new").mkdir(exist_ok=True)
        self.world.with_name("last").write_text(repr([argv, note]))  # if it ends the whole process
        said, code = "", None
        try:
            signal.alarm(600)  # a guard against what never ends, no limit on speed
            code = main(argv)
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else None
        except BaseException as error:
            frame = error.__traceback__
            while frame is not None and frame.tb_next is not None:
                frame = frame.tb_next
            where = frame and f"{Path(frame.tb_frame.f_code.co_filename).name}:{frame.tb_lineno}"
            said = f"{type(error).__name__} at {where}: {str(error)[:200]}"
        finally:
            signal.alarm(0)
            limit_memory(None)
            os.chdir(self.world)
        out, err = self.capfd.readouterr()
        if not said and code not in (0, 1, 2):
            said = f"exit code {code}"
        if not said and "Traceback" in err:
            said = "a traceback was printed"
        if not said and "the memory does not suffice" in err:
            said = "it took all memory that it may take"
        if not said and (found := UNSAFE.search((out + err).replace("\r\x1b", "").replace("\r", ""))):
            said = f"{found[0]!r} reached the terminal"
        if not said and code and not err + out:
            said = f"{code}, and nothing is said"
        if not said and nonsense and code == 0:
            said = "0 for nonsense"
        if not said and (longest := max(map(len, err.splitlines()), default=0)) > 1500:
            said = f"a message of {longest} characters"
        after = state(self.world)
        changed = [path for path, is_now in self.before.items() if after.get(path) != is_now and path not in may]
        changed = [path for path in changed if not (os.path.isdir(path) and not os.path.islink(path))]
        if changed:
            said = f"{said}; changed: {changed}"
        for path in sorted(after.keys() - self.before.keys(), reverse=True):
            with contextlib.suppress(OSError):
                shutil.rmtree(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)
        for path, content in self.content.items():
            if after.get(path) != self.before[path]:
                Path(path).write_bytes(content)
                self.before[path] = state(Path(path).parent)[path]
        if said:
            what = f"{argv[0] if argv else ''}: {said}"
            if what not in self.wrong:
                self.wrong[what] = [*argv, note]
                with self.capfd.disabled():  # at once, as the long form takes long
                    print(f"\n{what:.300}\n    {[*argv, note]!r:.300}", flush=True)
        self.outcomes[{0: "done", 1: "done in part"}.get(code or 0, "refused") if code is not None else "wrong"] += 1
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


@pytest.fixture(scope="module")
def mini() -> CLIPIQA:
    """Held, so that its tower is read once."""
    return CLIPIQA(backbone="mini")


def test_odd_values(trials: Trials, mini: CLIPIQA, times: int) -> None:
    generator, known = random.Random(int(os.environ.get("CLIPIQA_SEED", "11"))), options()
    for _ in range(100 if times == 1 else 150 * times):
        command = generator.choice(list(known))
        if command in SLOW and generator.random() < 0.9:
            continue
        argv, nonsense = [*GOOD[command]], False
        for action in generator.sample(known[command], generator.choice((1, 1, 1, 2))):
            words, value = odd(action, generator)
            nonsense |= refuses(action, value)
            if action.option_strings:
                argv += words
            else:
                argv = [*words, *argv[1:]] if argv else words
        trials.attempt([*command.split(), *argv], nonsense)
    trials.end("odd values")


def last_part(word: str) -> str:
    """What a word of a command line names: ``better`` in ``b=better``."""
    return word.rpartition("=")[2]


FILES = ("photos/0.png", "better/1.png", "scores.csv", "base.csv", "new.csv", "votes.csv", "pairs.txt", "empty")
READ_NO_PHOTOS = ("demo", "export", "gate", "prompts", "weights")
PLACES = (
    *FILES,
    "photos",
    "fifo",
    "socket",
    "device",
    "loop",
    "full",
    "empty",
    "empty/x",
    "n" * 300,
    "~nobody-here/x",
)


@pytest.mark.parametrize("more", [(), ("--overwrite",), ("--resume",)], ids=str)
def test_odd_outputs(trials: Trials, mini: CLIPIQA, times: int, more: tuple[str, ...]) -> None:
    """``--out`` of every command at what is there already: inputs stay, and files of others unless told otherwise."""
    generator, known = random.Random(12), options()
    for command, actions in known.items():
        names = ("out", "download_to", "page", "copy_to", "move_to", "link_to", "write_shards", "path")
        outs = [(a.option_strings or ("",))[-1] for a in actions if a.dest in names]
        flags = {flag for action in actions for flag in action.option_strings}
        if not set(more) <= flags or not outs:
            continue
        for out in outs:
            places = PLACES if times > 1 else generator.sample(PLACES, 1 if command in SLOW else 4)
            for place in places:
                may = set(FILES) - set(GOOD[command]) if more == ("--overwrite",) else set()
                if command not in READ_NO_PHOTOS:
                    may -= {name for name in FILES if {name, name.split("/")[0]} & {*map(last_part, GOOD[command])}}
                given = [*GOOD[command], *more]
                given = [*given, out, place] if out else [place, *given[1:]]
                argv = [*command.split(), *given, *(["--best", "2"] if out.endswith("-to") else [])]
                trials.attempt(argv, may={str(trials.world / name) for name in may})
    trials.end(f"odd outputs {' '.join(more)}")


ODD_YAML = (
    *(
        "[[[a]]]",
        "{a: b}",
        "{1: [2]}",
        "[]",
        "{}",
        "2026-01-01",
        ".nan",
        "-.inf",
        "1e400",
        "!!binary YQ==",
        "!!set {a}",
    ),
    *("''", '"a\\0b"', '"\\x1b[2J\\u202e"', "n" * 300, "n/" * 3000, "1" + "0" * 40, "-1", "0", "1.5", "yes", "0x10"),
    *(
        "12:30:45",
        "~x/y",
        "'~nobody-here/x'",
        "photos",
        "photos/0.png",
        "loop",
        "socket",
        "[photos, {a: [b]}]",
        "'a|b'",
    ),
    *(
        "!!pairs [a: 1]",
        "!!omap [a: 1]",
        "'--'",
        "'='",
        "[1, 2, 3]",
        "[null]",
        "https://127.0.0.1:9/x.pt",
        "- a\n  - b",
    ),
)


def configured(known: dict[str, list[argparse.Action]]) -> dict[str, tuple[str, list[str]]]:
    """Command -> its option of configurations, and the keys in one."""
    found = {}
    for command, actions in known.items():
        for action in actions:
            if action.dest in ("config", "config_file"):
                keys = [other.dest for other in actions if other.option_strings and other is not action]
                found[command] = action.option_strings[-1], keys or ["name"]
    found["compare"] = found["compare"][0], list(CONFIG_KEYS)
    return found


def test_hostile_configurations(trials: Trials) -> None:
    """Bombs of aliases, depth and digits through every command that takes a configuration."""
    for command, (option, _) in configured(options()).items():
        for text, _ in HOSTILE.values():
            (trials.world / "new").mkdir(exist_ok=True)
            (trials.world / "new/c.yml").write_text(text)
            assert trials.attempt([*command.split(), *GOOD[command], option, "new/c.yml"]) == 2
    trials.end("hostile configurations")


def test_odd_configurations(trials: Trials, mini: CLIPIQA, times: int) -> None:
    generator, known = random.Random(int(os.environ.get("CLIPIQA_SEED", "13"))), configured(options())
    for _ in range(60 * times):
        command = generator.choice(list(known))
        option, keys = known[command]
        value = generator.choice(ODD_YAML)
        text = f"{generator.choice(keys)}: {value}\n"
        (trials.world / "new").mkdir(exist_ok=True)
        (trials.world / "new/c.yml").write_text(text, errors="surrogatepass")
        trials.attempt([*command.split(), *GOOD[command], option, "new/c.yml"], note=text)
    trials.end("odd configurations")
