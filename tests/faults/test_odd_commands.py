"""Odd command lines, thousands with ``--long``: every command that there is, every option, absurd values.

A command line is valid but for one or two values. It must end with one of our exit codes, without a traceback, in text
that cannot steer a terminal; not with 0 where the value is nonsense for its option; and with every file that was there
before as it was.
"""

import contextlib
import math
import os
import resource
import shutil
import socket
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from test_damaged_files import budget
from test_hostile_text import UNSAFE
from time_limit import time_limit

from clipiqa_pyiqa.cli import function_of, main, parsers
from clipiqa_pyiqa.images.memory import limit_memory

MINI = ("-b", "mini", "--device", "cpu")
GOOD = {  # a command line of each command that works, in the folder `world`
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
def world(tmp_path_factory):
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


def options():
    """What can be said to each command."""
    _, commands = parsers()
    for name, parser in commands.items():
        parser.declare(function_of(name))
    return {name: [a for a in parser._actions if a.dest != "help"] for name, parser in commands.items()}


def contents(folder):
    """Every file with its bytes; other places without."""
    found = {}
    for place in sorted(folder.rglob("*")):
        is_file = place.is_file() and not place.is_symlink()
        found[str(place.relative_to(folder))] = place.read_bytes() if is_file else None
    return found


def odd(action, generator):
    """Words for an option with an absurd value, and the value."""
    is_number = action.type is not None and action.type is not Path
    value = generator.choice(NUMBERS if is_number and generator.random() < 0.7 else NAMES)
    if not action.option_strings:
        return [value], value
    if action.nargs == 0 or generator.random() < 0.3 or value.startswith("-"):
        return [f"{action.option_strings[-1]}={value}"], value
    more = [value] * (action.nargs - 1 if isinstance(action.nargs, int) else 0)
    return [action.option_strings[-1], value, *more], value


def refuses(action, value):
    """Whether the value is nonsense for its option beyond doubt, so that 0 would be a lie."""
    if action.nargs == 0 or (action.choices is not None and value not in action.choices):
        return True
    if action.type in (None, Path):
        return False
    try:
        return not math.isfinite(number := float(value)) or abs(number) > 1e20
    except (ValueError, OverflowError):
        return True


@pytest.fixture
def attempt(world, capfd, monkeypatch):
    """A function that runs a command line in the folder, and undoes what it did."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(world / "new/cache"))
    monkeypatch.setenv("HOME", str(world / "new/home"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for name in ("https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY"):  # nothing is asked of anybody
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limits = resource.getrlimit(resource.RLIMIT_AS)
    most = used + MOST_BYTES if limits[1] == resource.RLIM_INFINITY else min(used + MOST_BYTES, limits[1])
    resource.setrlimit(resource.RLIMIT_AS, (most, limits[1]))
    before = contents(world)

    def run(argv, nonsense=False, may=()):
        """Run one; ``may`` are files that it was asked to replace."""
        (world / "new").mkdir(exist_ok=True)
        try:
            with time_limit(600):
                code = main(argv)
        except SystemExit as error:
            code = error.code
        finally:
            limit_memory(None)
            os.chdir(world)
        out, err = capfd.readouterr()
        after = contents(world)
        for path in sorted(after.keys() - before.keys(), reverse=True):
            with contextlib.suppress(OSError):
                shutil.rmtree(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)
        changed = [path for path, data in before.items() if after.get(path, 0) != data]
        for path in changed:
            (world / path).write_bytes(before[path] or b"")
        assert code in (0, 1, 2) and "Traceback" not in err and not (nonsense and code == 0), (code, err)
        assert code == 0 or err + out, "nothing is said"
        assert "the memory does not suffice" not in err and max(map(len, err.splitlines()), default=0) <= 1500
        assert not UNSAFE.search((out + err).replace("\r\x1b", "").replace("\r", ""))
        assert set(changed) <= set(may)

    yield run
    resource.setrlimit(resource.RLIMIT_AS, limits)


def test_odd_values_end_with_an_exit_code_and_a_sentence(attempt, metric, times):
    known = options()
    commands = [command for command in known if times > 1 or command not in SLOW]

    @budget(25 if times == 1 else 150 * times)
    @given(st.sampled_from(commands), st.randoms(use_true_random=False))
    def try_values(command, generator):
        argv, nonsense = [*GOOD[command]], False
        for action in generator.sample(known[command], generator.choice((1, 1, 1, 2))):
            words, value = odd(action, generator)
            nonsense |= refuses(action, value)
            argv = [*argv, *words] if action.option_strings else [*words, *argv[1:]]
        attempt([*command.split(), *argv], nonsense)

    try_values()


def test_odd_outputs_replace_no_input(attempt, metric, times):
    """``--out`` of every command at what is there already: inputs stay, and files of others unless told otherwise."""
    outputs = [
        (command, (action.option_strings or ("",))[-1], {flag for each in actions for flag in each.option_strings})
        for command, actions in options().items()
        for action in actions
        if action.dest in OUTPUTS and (times > 1 or command not in SLOW)
    ]

    @budget(len(outputs) * (1 if times == 1 else len(PLACES)))
    @given(st.sampled_from(outputs), st.sampled_from(PLACES), st.sampled_from(["", "--overwrite", "--resume"]))
    def try_places(output, place, flag):
        command, out, flags = output
        given = [*GOOD[command], *([flag] if flag in flags else [])]
        given = [*given, out, place] if out else [place, *given[1:]]
        given += ["--best", "2"] if out.endswith("-to") else []
        named = {word.rpartition("=")[2] for word in GOOD[command]}
        others = {file for file in FILES if not {file, file.split("/")[0]} & named}
        attempt([*command.split(), *given], may=others if "--overwrite" in given else ())

    try_places()
