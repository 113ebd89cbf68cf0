"""Readers that leave, full and closed streams, outputs that are deleted, signals: nothing is lost, and 0 means all.

Each trial is a real process. ``--long`` runs more of the ones that depend on the moment.
"""

import os
import signal
import time
from pathlib import Path

import pytest
from PIL import Image
from standin import Brightness

from clipiqa_pyiqa import score_paths
from clipiqa_pyiqa.scoring.result_files import read_results
from clipiqa_pyiqa.sources.folders import images_in
from clipiqa_pyiqa.sources.inputs import find_inputs

IMAGES = 8


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("streams") / "photos"
    folder.mkdir()
    for number in range(IMAGES):
        Image.new("RGB", (40, 40), (20 * number,) * 3).save(folder / f"{number}.png")
    (folder / "broken.png").write_text("no image")  # something to say on standard error
    return folder


STANDIN = {"STANDIN": "1"}


@pytest.mark.parametrize(
    "streams", [{"err": "left", "out": "left"}, {"err": "full"}, {"out": "full"}, {"err": "closed"}], ids=str
)
def test_files_are_finished_though_the_output_is_closed(forked, photos, tmp_path, streams):
    job = forked.run(["score", photos, "--out", "s.csv"], tmp_path, variables=STANDIN, **streams)
    assert job.code == 1  # as one of the files is no image
    assert len(read_results(tmp_path / "s.csv")[1]) == IMAGES + 1
    content = (tmp_path / "s.csv").read_bytes()
    assert content.count(b"\n") == IMAGES + 2 and b"clipiqa score" not in content  # no message got in


@pytest.mark.parametrize(
    ("out", "code", "said"),
    [
        ("full", 2, "standard output: No space left on device"),
        ("left", 1, ""),
    ],
)
def test_text_that_cannot_be_written_is_a_failure(forked, photos, tmp_path, out, code, said):
    good = photos / "1.png"
    for arguments in (["score", photos, "-q"], ["rank", "--help"], ["rank", good, "-q"]):
        job = forked.run(arguments, tmp_path, out=out, variables=STANDIN)
        assert job.code == code and said in job.err, (arguments, job.err)
        assert "Traceback" not in job.err and "Exception ignored" not in job.err


def wait_for(there, job):
    end = time.monotonic() + 20
    while not there.exists():
        assert time.monotonic() < end, job.err
        time.sleep(0.001)


def test_a_folder_that_moves_away_is_a_failure(forked, photos, tmp_path):
    (tmp_path / "results").mkdir()
    variables = {**STANDIN, "STANDIN_SECONDS": "0.1"}
    job = forked.start(["score", photos, "--out", "results/scores.csv"], tmp_path, variables=variables)
    wait_for(tmp_path / "results/scores.csv.part.jsonl", job)
    (tmp_path / "results").rename(tmp_path / "away")
    assert job.wait() == 2 and job.err.count("clipiqa score: error: ") == 1, job.err
    assert "scored, " not in job.err


def test_signals_end_every_command_as_they_end_score(forked, photos, tmp_path, times):
    """Ctrl-C and SIGTERM of ``rank`` at any moment: one sentence, and 130 or 143."""
    for trial in range(times):
        for number, code in ((signal.SIGINT, 130), (signal.SIGTERM, 143)):
            out = tmp_path / f"{number}-{trial}"
            job = forked.start(["rank", photos, "--out", out], tmp_path, variables={**STANDIN, "STANDIN_STALL": "2"})
            wait_for(out / "scores.csv.part.jsonl", job)
            time.sleep(0.05 * trial)
            job.kill(number)
            assert job.wait() == code and "Traceback" not in job.err, job.err
            assert job.err.count("interrupted: ") == 1 and "--resume continues from here" in job.err


def test_folders_that_cannot_be_read_are_named_and_count_as_failures(tmp_path, monkeypatch):
    """The tests may run as root, who can read everything: so ``scandir`` says that it cannot."""
    folder = tmp_path / "photos"
    for name in ("a.png", "shut/b.png"):
        (folder / name).parent.mkdir(exist_ok=True, parents=True)
        Image.new("RGB", (40, 40)).save(folder / name)
    scandir = os.scandir

    def refuse(path="."):
        if str(path).endswith("shut"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    problem = f"'{folder}/shut' is a folder that cannot be read: Permission denied"
    assert find_inputs([str(folder)]).problems == {f"{folder}/shut": problem}
    with pytest.raises(ValueError, match="Permission"):
        list(images_in(folder))
    rows = score_paths(Brightness(), folder, out=tmp_path / "s.csv")
    assert {Path(row.path).name: row.error for row in rows} == {"a.png": "", "shut": f"{problem}."}
