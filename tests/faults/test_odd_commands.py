"""Odd command lines, thousands with ``--long``: every command that there is, every option, absurd values.

A command line is valid but for one or two values. It must end with one of our exit codes, without a traceback, in text
that cannot steer a terminal; not with 0 where the value is nonsense for its option; and with every file that was there
before as it was.
"""

import itertools
import math
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from assertions import time_limit
from command_options import all_arguments, is_option, kinds_of
from hypothesis import given
from hypothesis import strategies as st
from inputs import make_world
from test_damaged_files import budget
from test_hostile_text import UNSAFE

from clipiqa_pyiqa.workbench.commands import main
from clipiqa_pyiqa.workbench.images.memory_limit import limit_memory

MINI = "-b mini --device cpu"
FEATURES = "--features new/store"
GOOD = {  # a command line of each command that works, in a folder as `make_world` leaves it
    "demo": "--out new/demo.png",
    "score": f"photos {MINI}",
    "map": f"photos/0.png {MINI}",
    "compare": "-m entropy -d photos --bootstrap 0",
    "table": "--methods a=photos b=better -m entropy",
    "gate": "base.csv new.csv",
    "prompts": "",
    "protocols": "",
    "train": f"scores.csv --epochs 1 {MINI} {FEATURES} --out new/run",
    "fit": f"scores.csv {MINI} --method affine {FEATURES} --out new/head.safetensors",
    "export": f"new/model.onnx {MINI}",
    "weights": "--backbone mini",
    "verify": "--images photos/0.png --backbone mini",
    "radar": f"photos/0.png {MINI}",
    "sweep": f"photos/0.png --changes brightness --steps 2 --scales 1 {MINI}",
    "pairs": f"photos better {MINI}",
    "rank": f"photos {MINI}",
    "agreement": f"votes.csv {MINI}",
}
MOST_BYTES = 4 << 30  # that command lines about a few small pictures may take
SLOW = ("demo", "export", "train")  # seconds each: tried in the long form
NUMBERS = ("nan", "-inf", "1e24", "-1", "9" * 5000, "10000000", "1e-400", "0x10", "٣")
NAMES = (
    "", "-", "--", "\x1b[2J\x07", "\u202egpj.exe", "a\rb\nc", "a\0b", "\ud800", os.fsdecode(b"latin\xe9"), "n" * 300,
    "n/" * 3000, "~nobody-here/x", "no/such/file", "photos", "photos/0.png", "scores.csv", "fifo", "socket", "loop",
    "empty", "full", "new.csv/x", "s3://", "http://127.0.0.1:9/x.pt", "{0..999999999}.tar", "[", "**", "|", "{}", "a=b",
    "entropy:=", "x=entropy:a=[[[", "9" * 5000,
)  # fmt: skip


def contents(folder):
    """Every file with its bytes; other places as they are."""
    return {
        str(place.relative_to(folder)): place.read_bytes() if place.is_file() else place.lstat().st_mode
        for place in folder.rglob("*")
    }


def odd(argument, generator):
    """Words for an argument with an absurd value, and the value."""
    takes_numbers = not {int, float, str}.isdisjoint(kinds_of(argument))
    value = generator.choice(NUMBERS if takes_numbers and generator.random() < 0.7 else NAMES)
    if not is_option(argument):
        return [value], value
    if bool in kinds_of(argument) or generator.random() < 0.3 or value.startswith("-"):
        return [f"{argument.name}={value}"], value
    return [argument.name, *[value] * argument.token_count()[0]], value


def refuses(argument, value):
    """Whether the value is nonsense for its option beyond doubt, so that 0 would be a lie."""
    choices = argument.get_choices(force=True)
    if choices and value not in choices:
        return True
    if {int, float}.isdisjoint(kinds_of(argument)):
        return False
    try:
        number = int(value, 0) if value.startswith("0x") else float(value)
        return not math.isfinite(number) or abs(number) > 1e20
    except (ValueError, OverflowError):
        return True


@pytest.fixture
def attempt(tmp_path, metric, capfd, monkeypatch):
    """A function that runs a command line in a new world."""
    for name in ("XDG_CACHE_HOME", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for name in ("https_proxy", "http_proxy"):  # nothing is asked of anybody
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + MOST_BYTES, limits[1]))

    def run(argv, nonsense=False):
        with tempfile.TemporaryDirectory(dir=tmp_path) as name:
            world = Path(name)
            make_world(world)
            before = contents(world)
            reader = os.open(world / "fifo", os.O_RDWR)  # so that nobody waits for the other end
            monkeypatch.chdir(world)
            try:
                with time_limit(600):
                    code = main(argv)
            except SystemExit as error:
                code = error.code
            finally:
                limit_memory(None)
                os.close(reader)
                monkeypatch.chdir(tmp_path)
            after = contents(world)
        out, err = capfd.readouterr()
        assert code in (0, 1, 2) and "Traceback" not in err and not (nonsense and code == 0), (argv, code, err)
        assert code == 0 or err + out, "nothing is said"
        assert "the memory does not suffice" not in err and max(map(len, err.splitlines()), default=0) <= 1500
        assert not UNSAFE.search((out + err).replace("\r\x1b", "").replace("\r", ""))
        assert before.items() <= after.items()

    yield run
    resource.setrlimit(resource.RLIMIT_AS, limits)


@pytest.mark.slow
def test_odd_values_end_with_an_exit_code_and_a_sentence(attempt, times):
    known = all_arguments()
    commands = [command for command in known if times > 1 or command not in SLOW]

    @budget(25 if times == 1 else 150 * times)
    @given(st.sampled_from(commands), st.randoms(use_true_random=False))
    def try_values(command, generator):
        argv, nonsense = [*GOOD[command].split()], False
        for argument in generator.sample(known[command], generator.choice((1, 1, 1, 2))):
            words, value = odd(argument, generator)
            nonsense |= refuses(argument, value)
            argv = [*argv, *words] if is_option(argument) else [*words, *argv[1:]]
        attempt([*command.split(), *argv], nonsense)

    try_values()


def test_threads_sleep_while_they_wait(tmp_path):
    make_world(tmp_path)
    variables = {key: value for key, value in os.environ.items() if not key.startswith("OMP_")}
    variables |= {"OMP_DISPLAY_ENV": "verbose", "OMP_NUM_THREADS": "1"}
    code = "from clipiqa_pyiqa.workbench.commands import main; main()"
    given = [sys.executable, "-c", code, "score", *GOOD["score"].split()]
    with subprocess.Popen(given, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=variables) as process:
        shown = "".join(itertools.takewhile(lambda line: "ENVIRONMENT END" not in line, process.stderr))
        process.kill()  # torch is being imported, and that is enough
    if "GOMP_" not in shown:
        pytest.skip("torch does not use GNU's OpenMP here")
    assert "GOMP_SPINCOUNT = '0'" in shown
