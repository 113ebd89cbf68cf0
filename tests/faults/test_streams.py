"""Readers that leave, full and closed streams, outputs that are deleted, signals: nothing is lost, and 0 means all.

Each trial is a real process. ``--long`` runs more of the ones that depend on the moment.
"""

import os
import signal
import time
from pathlib import Path

import pytest
from metrics import Brightness
from photos import save_grey
from result_files import read_results

from clipiqa_pyiqa import score_paths
from clipiqa_pyiqa.workbench.commands.options.signals import signals_deferred
from clipiqa_pyiqa.workbench.sources.finding import find_inputs

IMAGES = 8
STANDIN = {"STANDIN": "1"}


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("streams")
    for number in range(IMAGES):
        save_grey(folder / f"{number}.png", 20 * number)
    (folder / "broken.png").write_text("no image")  # something to say on standard error
    return folder


def test_a_signal_waits_while_libraries_load():
    """An exception amid the import of PyTorch would abort the process."""
    is_loaded = False
    earlier = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background has it ignored
    try:
        with pytest.raises(KeyboardInterrupt), signals_deferred():
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.05)
            is_loaded = True
    finally:
        signal.signal(signal.SIGINT, earlier)
    assert is_loaded


@pytest.mark.parametrize(
    "streams", [{"err": "left", "out": "left"}, {"err": "full"}, {"out": "full"}, {"err": "closed"}]
)
def test_files_are_finished_though_the_output_is_closed(forked, photos, tmp_path, streams):
    job = forked.run(f"score {photos} --out s.csv", tmp_path, variables=STANDIN, **streams)
    assert job.code == 1  # as one of the files is no image
    assert len(read_results(tmp_path / "s.csv")[1]) == IMAGES + 1
    assert (tmp_path / "s.csv").read_bytes().count(b"\n") == IMAGES + 2  # no message got in


@pytest.mark.parametrize("out, code, said", [("full", 2, "No space left on device"), ("left", 1, "")])
@pytest.mark.parametrize("command", ["score {}/1.png -q", "rank --help"])
def test_text_that_cannot_be_written_is_a_failure(forked, photos, tmp_path, command, out, code, said):
    job = forked.run(command.format(photos), tmp_path, out=out, variables=STANDIN)
    assert job.code == code and said in job.err, job.err
    assert "Traceback" not in job.err and "Exception ignored" not in job.err


def wait_for_journal(path, job, rows=0):
    end = time.monotonic() + 20
    while not path.exists() or path.read_bytes().count(b"\n") < rows:
        assert time.monotonic() < end, job.err
        time.sleep(0.001)


def test_a_folder_that_moves_away_is_a_failure(forked, photos, tmp_path):
    (tmp_path / "results").mkdir()
    variables = {**STANDIN, "STANDIN_SECONDS": "0.1"}
    job = forked.start(f"score {photos} --out results/scores.csv", tmp_path, variables=variables)
    wait_for_journal(tmp_path / "results/scores.csv.part.jsonl", job)
    (tmp_path / "results").rename(tmp_path / "away")
    assert job.wait() == 2 and job.err.count("clipiqa score: error: ") == 1, job.err
    assert "scored, " not in job.err


@pytest.mark.parametrize("number, code", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("command, out, table", [("score", "s.csv", "s.csv"), ("rank", "out", "out/scores.csv")])
def test_a_signal_ends_a_run_which_then_goes_on(forked, photos, tmp_path, command, out, table, number, code, times):
    """Ctrl-C and SIGTERM at any moment: one sentence, and 130 or 143."""
    given = f"{command} {photos} --batch-size 1 --out {out}"
    stalled = {**STANDIN, "STANDIN_STALL": "2"}
    for trial in range(times):
        job = forked.start(f"{given} --overwrite", tmp_path, variables=stalled)
        wait_for_journal(tmp_path / f"{table}.part.jsonl", job, rows=3)
        time.sleep(0.05 * trial)
        job.kill(number)
        assert job.wait() == code and "Traceback" not in job.err, job.err
        assert job.err.count("interrupted: ") == 1 and "--resume continues from here" in job.err
    forked.run(f"{given} --resume", tmp_path, variables=STANDIN)
    assert len(read_results(tmp_path / table)[1]) == IMAGES + 1


def test_folders_that_cannot_be_read_are_named_and_count_as_failures(tmp_path, monkeypatch):
    """The tests may run as root, who can read everything: so ``scandir`` says that it cannot."""
    for name in ("a.png", "shut/b.png"):
        save_grey(tmp_path / name, 9)
    scandir = os.scandir

    def refuse(path="."):
        if str(path).endswith("shut"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(ValueError, match="Permission"):
        list(find_inputs(tmp_path))
    rows = score_paths(Brightness(), tmp_path, out=tmp_path / "s.csv")
    assert {Path(row.path).name: "cannot be read" in row.error for row in rows} == {"a.png": False, "shut": True}
