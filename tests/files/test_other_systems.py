"""What macOS and Windows lack or forbid, as far as Linux can pretend to: modules, owners, replacing what is open."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from clipiqa_pyiqa.cli import COMMANDS, main
from clipiqa_pyiqa.errors import OutputError
from clipiqa_pyiqa.files import locking, writing

PHOTOS = Path(__file__).parents[1] / "data"
WITHOUT = """
import os, pkgutil, signal, sys
import clipiqa_pyiqa, matplotlib.pyplot, open_clip, pandas, pyiqa, pyarrow.parquet, scipy.stats, tqdm  # may need them
for name in ("fcntl", "resource", "pwd", "grp", "termios", "pty", "tty", "syslog"):
    sys.modules[name] = None
for name in ("chown", "fork", "geteuid", "getuid", "getloadavg", "pread", "pwrite", "O_CLOEXEC", "mkfifo"):
    delattr(os, name)
for name in ("SIGKILL", "SIGHUP", "SIGUSR1", "SIGALRM", "alarm", "setitimer"):
    delattr(signal, name)
for module in pkgutil.walk_packages(clipiqa_pyiqa.__path__, "clipiqa_pyiqa."):
    if not module.name.endswith("__main__"):
        __import__(module.name)
from clipiqa_pyiqa.cli import main
photo, out = sys.argv[1:]
main(["score", photo, "--backbone", "mini", "--out", f"{out}/scores.csv", "-q"])
sys.exit(main(["rank", photo, "--backbone", "mini", "--out", f"{out}/rank", "-q", "--max-side", "64"]))
"""


def test_modules_and_functions_of_unix_are_not_needed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WITHOUT, str(PHOTOS / "canyon-wren.jpg"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "scores.csv").exists() and (tmp_path / "rank/summary.json").exists()


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> None:
    """No owners, folders that cannot be opened, files that are synced only when open to be written."""
    monkeypatch.delattr(os, "chown")
    opened, sync = os.open, os.fsync
    writable: dict[int, bool] = {}

    def windows_open(path: Any, flags: int, *args: Any, **kwargs: Any) -> int:
        if os.path.isdir(path):
            raise PermissionError(13, "Permission denied", path)
        number = opened(path, flags, *args, **kwargs)
        writable[number] = bool(flags & (os.O_RDWR | os.O_WRONLY))
        return number

    def windows_sync(number: int) -> None:
        if not writable.get(number, True):
            raise OSError(9, "Bad file descriptor")
        sync(number)

    monkeypatch.setattr(os, "open", windows_open)
    monkeypatch.setattr(os, "fsync", windows_sync)


def test_files_are_written_and_replaced(windows: None, tmp_path: Path) -> None:
    for text in ("one", "two"):
        writing.write_text(tmp_path / "x.txt", text)
        assert (tmp_path / "x.txt").read_text() == text
    assert os.listdir(tmp_path) == ["x.txt"]


def test_file_that_another_program_has_open(windows: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.txt").write_text("old")

    def refuse(source: str, target: str) -> None:
        raise PermissionError(13, "Access is denied", str(source), None, str(target))

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OutputError, match=r"x\.txt': Access is denied"):
        writing.write_text(tmp_path / "x.txt", "new")
    assert (tmp_path / "x.txt").read_text() == "old" and os.listdir(tmp_path) == ["x.txt"]


def test_lock_without_flock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locking, "fcntl", None)
    output, said = tmp_path / "x.csv", "is being written by another run"
    with locking.locked(output), pytest.raises(locking.LockedError, match=said), locking.locked(output):
        pass
    with locking.locked(output):
        pass


@pytest.fixture
def open_files_stay(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A file that this process has open or mapped can be neither replaced, renamed nor removed, as on Windows."""
    if not Path("/proc/self/fd").exists():
        pytest.skip("needs /proc, to know which files are open")

    def check(path: Any) -> None:
        shown = os.path.realpath(path)
        opened = {os.path.realpath(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd")}
        lines = Path("/proc/self/maps").read_text(errors="surrogateescape").splitlines()
        mapped = {line.split(maxsplit=5)[-1] for line in lines if "/" in line}
        if os.path.isfile(shown) and shown in opened | mapped:
            raise PermissionError(13, "The process cannot access the file because it is being used", shown)

    def strict(own: Any) -> Any:
        def checked(*paths: Any, **kwargs: Any) -> Any:
            for path in paths:
                check(path)
            return own(*paths, **kwargs)

        return checked

    for name in ("replace", "rename", "unlink", "remove"):
        monkeypatch.setattr(os, name, strict(getattr(os, name)))
    monkeypatch.setattr(locking, "fcntl", None)  # its lock file is removed while it is held, which only Unix allows
    yield


def test_nothing_replaces_what_it_has_open(
    open_files_stay: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    with Image.open(sorted(PHOTOS.glob("*.jpg"))[0]) as photo:
        for side in range(40, 100, 4):
            photo.resize((side, 40)).save(photos / f"{side}.jpg")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with open(photos / "open.txt", "w"), pytest.raises(PermissionError):  # the fixture can fail
        os.unlink(photos / "open.txt")
    common = [str(photos), "--backbone", "mini", "--max-side", "96", "-q"]
    for out in ("scores.csv", "scores.jsonl", "scores.parquet"):
        assert main(["score", *common, "--out", str(tmp_path / out)]) == 0
        assert main(["score", *common, "--out", str(tmp_path / out), "--resume"]) == 0
    for more in ([], ["--resume"], ["--overwrite"]):
        assert main(["rank", *common, "--out", str(tmp_path / "rank"), *more]) == 0, capsys.readouterr().err
    rows = "".join(f"{path.name},{n}\n" for n, path in enumerate(sorted(photos.glob("*.jpg"))))
    (photos / "scores.csv").write_text("path,score\n" + rows)
    fit = ["fit", str(photos / "scores.csv"), "--backbone", "mini", "--method", "affine", "-q"]
    for more in ([], ["--overwrite"]):
        assert main([*fit, "--out", str(tmp_path / "head.safetensors"), *more]) == 0, capsys.readouterr().err
    train = [
        "train",
        str(photos / "scores.csv"),
        "--backbone",
        "mini",
        "--epochs",
        "2",
        "-q",
        "--out",
        str(tmp_path / "run"),
    ]
    for more in ([], ["--resume"], ["--overwrite"]):
        assert main([*train, *more]) == 0, capsys.readouterr().err
    compare = ["compare", "-m", "clipiqa:backbone=mini", "-d", str(photos), "-q", "--out", str(tmp_path / "compare")]
    for more in ([], ["--resume"]):
        assert main([*compare, *more]) == 0, capsys.readouterr().err


# Terminals without Unicode


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_terminals_without_unicode(encoding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(PHOTOS / "canyon-wren.jpg", tmp_path / "鳥.jpg")

    def run(*arguments: str) -> tuple[int, str]:
        out, err = (io.TextIOWrapper(io.BytesIO(), encoding=encoding, write_through=True) for _ in range(2))
        monkeypatch.setattr(sys, "stdout", out)
        monkeypatch.setattr(sys, "stderr", err)
        try:
            code = main(arguments)
        except SystemExit as ended:
            code = int(ended.code or 0)
        return code, out.buffer.getvalue().decode(encoding)

    for command in COMMANDS:
        code, said = run(*command.split(), "--help")
        assert code == 0 and "usage: clipiqa" in said
    code, said = run("rank", str(tmp_path), "--backbone", "mini", "--max-side", "64", "-q")
    assert code == 0 and r"\u9ce5.jpg" in said
    assert run("score", str(tmp_path / "魚.jpg"), "--backbone", "mini")[0] == 2
