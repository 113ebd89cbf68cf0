"""One run at a time: who holds a lock is said, killed runs block nobody, and no lock file stays behind."""

import contextlib
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from clipiqa_pyiqa.errors import OutputError
from clipiqa_pyiqa.workbench.files.locking import LockedError, lock_file, locked

HOLD = """
import sys, time
from clipiqa_pyiqa.workbench.files.locking import locked
with locked(sys.argv[1]):
    print('held', flush=True)
    time.sleep(100)
"""


def process_that_holds(output):
    process = subprocess.Popen([sys.executable, "-c", HOLD, output], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_lock_holds_against_another_process(tmp_path):
    for kind in ["file", "folder"]:
        output = tmp_path / "out"
        if kind == "folder":
            output.mkdir()
        with process_that_holds(output) as process:
            message = rf"out' is being written by process {process.pid} on '.*', since 20"
            for _ in range(3):  # what is said of the holder survives those who ask
                with pytest.raises(LockedError, match=message), locked(output):
                    pass
            process.kill()
        with locked(output):  # what it leaves does not block
            assert lock_file(output).exists()
        assert not lock_file(output).exists()


def test_a_lock_ends_with_its_context(tmp_path):
    with pytest.raises(KeyboardInterrupt), locked(tmp_path / "out"):
        raise KeyboardInterrupt
    with locked(tmp_path / "out"), pytest.raises(LockedError), locked(tmp_path / "out"):
        pass
    assert os.listdir(tmp_path) == []


def test_four_threads_never_hold_one_lock_at_once(tmp_path):
    """Held and removed over and over by four threads: the counter would tell of two in the context."""
    threads_inside = []
    counts = []

    def enter_twenty_times(thread):
        entered = 0
        while entered < 20:  # entered, not tried: how often it is refused depends on the machine
            with contextlib.suppress(LockedError), locked(tmp_path / "out"):
                entered += 1
                threads_inside.append(thread)
                counts.append(len(threads_inside))
                os.stat(tmp_path)  # lets other threads run
                threads_inside.pop()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(enter_twenty_times, range(4)))
    assert counts == [1] * 80
    assert os.listdir(tmp_path) == []


def test_links_and_long_names_share_one_lock(tmp_path):
    with locked(tmp_path / ("n" * 255)):
        pass
    (tmp_path / "link").symlink_to("real")
    assert lock_file(tmp_path / "link") == lock_file(tmp_path / "real")


def test_a_lock_in_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(OutputError), locked(tmp_path / "nowhere/out"):
        pass
