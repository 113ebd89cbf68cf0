"""What macOS and Windows lack or forbid, as far as Linux can pretend to, and terminals without Unicode."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from clipiqa_pyiqa import files as writing
from clipiqa_pyiqa.errors import OutputError
from clipiqa_pyiqa.workbench.files import locking

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
from clipiqa_pyiqa.workbench.commands import main
photo, out = sys.argv[1:]
main(["score", photo, "--backbone", "mini", "--out", f"{out}/scores.csv", "-q"])
sys.exit(main(["rank", photo, "--backbone", "mini", "--out", f"{out}/rank", "-q", "--max-side", "64"]))
"""


@pytest.mark.long
def test_modules_and_functions_of_unix_are_not_needed(tmp_path):
    command = [sys.executable, "-c", WITHOUT, str(PHOTOS / "canyon-wren.jpg"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "scores.csv").exists()
    assert (tmp_path / "rank/summary.json").exists()


def test_a_file_that_another_program_has_open_is_named(tmp_path, monkeypatch):
    (tmp_path / "x.txt").write_text("old")

    def refuse(source, target):
        raise PermissionError(13, "Access is denied", str(source), None, str(target))

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(OutputError):
        writing.write_text(tmp_path / "x.txt", "new")
    assert (tmp_path / "x.txt").read_text() == "old"
    assert os.listdir(tmp_path) == ["x.txt"]


def test_without_flock_a_warning_says_so(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(locking, "fcntl", None)
    with locking.locked(tmp_path / "x.csv"):
        assert "x.csv cannot be locked on this file system" in caplog.text
