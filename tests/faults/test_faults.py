"""Kills, full disks and random damage: each trial fails on anything that is lost in silence.

``pytest tests/faults --long`` runs twenty times the trials.
"""

import contextlib
import signal
import time

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from metrics import FakeMetric
from PIL import Image
from result_files import read_results, write_results
from safetensors.torch import save_file
from shard_makers import picture, save_tar
from tensors import normal
from test_damaged_files import REFUSED, budget, check_that_damage_is_refused, damaged, mutated

from clipiqa_pyiqa import CLIPIQAError
from clipiqa_pyiqa.prompts.files import FORMAT, read_prompt_file
from clipiqa_pyiqa.prompts.head import content_checksum
from clipiqa_pyiqa.prompts.learned import STATE_KEYS
from clipiqa_pyiqa.training import Augmentation
from clipiqa_pyiqa.weights.checkpoint import load_pickled
from clipiqa_pyiqa.workbench.learning.stored_features import NOT_AUGMENTED, read_or_encode_features
from clipiqa_pyiqa.workbench.results.columns import Column
from clipiqa_pyiqa.workbench.results.companion_files import journal_of
from clipiqa_pyiqa.workbench.results.output import Output
from clipiqa_pyiqa.workbench.results.row import Row
from clipiqa_pyiqa.workbench.results.store import open_results

FORMATS = ("csv", "jsonl", "parquet")
COLUMNS = [Column(name, {"metric": "clipiqa", "weights": "openai afeb0e10"}) for name in ("quality", "sharpness")]
ROWS = [Row(f"{n}.jpg", (n / 50, 0.5), 9, 9, 9, 9, 1) for n in range(50)]
RUN = """
import resource, sys, time
from pathlib import Path
from clipiqa_pyiqa import CLIPIQAError
from clipiqa_pyiqa.workbench.results.columns import Column
from clipiqa_pyiqa.workbench.results.row import Row
from clipiqa_pyiqa.workbench.results.output import Output
from clipiqa_pyiqa.workbench.results.store import open_results
path, count, limit, pause = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
said = open(sys.argv[5], "ab", buffering=0)
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    columns = [Column(name, {"metric": "clipiqa", "weights": "openai afeb0e10"}) for name in ("quality", "sharpness")]
    with open_results(Output(path, resume=True), columns, {}) as results:
        for n in range(count):
            name = f"{n}.jpg"
            if name not in results.earlier:
                time.sleep(pause)
                results.append(Row(name, (n / count, 0.5), 9, 9, 9, 9, 1))
                said.write(f"{name}\\n".encode())
except CLIPIQAError as error:
    print(error, file=sys.stderr)
    sys.exit(2)
"""


def start(forked, path, count, limit=0, pause=0):
    arguments = f"{path} {count} {limit} {pause} {path.with_name('acknowledged')}"
    return forked.start(arguments, path.parent, code=RUN, out="", err="../err")


def write(output):
    """All rows that are not there yet."""
    write_results(open_results(output, COLUMNS, {}), ROWS)


def check_that_all_said_is_kept(path):
    said = path.with_name("acknowledged")
    if said.exists() and (names := said.read_text().splitlines()):
        found = next(file for file in (path.with_name(path.name + ".part.jsonl"), path) if file.exists())
        assert {*names} <= {row.path for row in read_results(found)[1]}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "results").mkdir()  # and beside it what processes say
    return tmp_path / "results"


def finish(forked, path, count):
    """Run to the end: all rows once, with their scores, and nothing left beside but what belongs there."""
    job = start(forked, path, count)
    assert job.wait() == 0, job.err
    rows = {row.path: row.scores for row in read_results(path)[1]}
    assert rows == {f"{n}.jpg": (n / count, 0.5) for n in range(count)}
    left = {file.name for file in path.parent.iterdir()} - {path.name, f"{path.name}.provenance.json", "acknowledged"}
    assert all(".partial." in name for name in left), left  # new files, of results or journal, that a kill broke off


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.slow
def test_a_killed_run_loses_and_repeats_no_score(forked, folder, suffix, times):
    path = folder / f"scores.{suffix}"
    count = 4000 * times
    codes = list[int]()

    @budget(2 * times)
    @given(st.floats(0.3, 1))
    def kill_after(seconds):
        job = start(forked, path, count, pause=0.002)
        time.sleep(seconds)
        job.kill(signal.SIGKILL)
        codes.append(job.wait())
        check_that_all_said_is_kept(path)

    kill_after()
    finish(forked, path, count)
    assert -signal.SIGKILL in codes


SHARDS = """
import sys, time
from pathlib import Path
from shard_makers import Logged, score
class Slow(Logged):
    def __call__(self, x):
        time.sleep(0.005)
        return super().__call__(x)
photos, out, log = map(Path, sys.argv[1:])
score(photos, out, [{"own": Slow(log)}], resume=True)
"""


@pytest.mark.slow
def test_a_killed_run_over_shards_repeats_no_stored_image(forked, folder, times):
    count = 300 * times
    codes = list[int]()
    log = folder / "calls"
    for shard in range(3):
        members = {f"{number}.png": picture(number % 256, (32, 32)) for number in range(count // 3)}
        save_tar(folder / f"photos/{shard}.tar", members)
    arguments = f"photos out.parquet {log}"

    @budget(2 * times)
    @given(st.floats(0.3, 2))
    def kill_after(seconds):
        job = forked.start(arguments, folder, code=SHARDS)
        time.sleep(seconds)
        job.kill(signal.SIGKILL)
        codes.append(job.wait())

    kill_after()
    job = forked.start(arguments, folder, code=SHARDS)
    assert job.wait() == 0, job.err
    rows = read_results(folder / "out.parquet")[1]
    assert len({row.path for row in rows}) == len(rows) == count and all(row.scores for row in rows)
    assert -signal.SIGKILL in codes and log.stat().st_size <= count + len(codes)  # the image that a kill met


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_full_disk_loses_no_finished_row(forked, folder, suffix, times):
    path = folder / f"scores.{suffix}"
    count = 400
    codes = list[int]()

    @budget(2 * times)
    @given(st.integers(2000, 60_000))
    def write_at_most(limit):
        job = start(forked, path, count, limit=limit)
        codes.append(job.wait())
        assert not job.code or (job.code == 2 and "File too large" in job.err and job.err.count("\n") == 1), job.err
        check_that_all_said_is_kept(path)

    write_at_most()
    finish(forked, path, count)
    assert 2 in codes


def test_damaged_results_are_refused(tmp_path, times):
    for suffix in FORMATS:
        path = tmp_path / f"scores.{suffix}"
        write(Output(path))
        check_that_damage_is_refused(path, read_results, 50 * times)


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_damaged_journal_is_refused_or_repaired(tmp_path, suffix, times):
    """Whatever happens to a journal, a run that resumes either refuses or ends with all rows right."""
    output = Output(tmp_path / f"scores.{suffix}", resume=True)
    with pytest.raises(KeyboardInterrupt), open_results(output, COLUMNS, {}) as results:
        for row in ROWS[:30]:
            results.append(row)
        raise KeyboardInterrupt
    content = journal_of(output.path).read_bytes()
    repaired = []

    @budget(10 * times)
    @given(st.randoms(use_true_random=False))
    def damage(generator):
        for file in tmp_path.iterdir():
            file.unlink()
        journal_of(output.path).write_bytes(mutated(content, generator))
        with contextlib.suppress(CLIPIQAError):
            write(output)
            repaired.append(sorted(read_results(output.path)[1], key=ROWS.index))

    damage()
    assert repaired and all(rows == ROWS for rows in repaired)


def test_damaged_learned_prompts_are_refused(tmp_path, times):
    for suffix in ["safetensors", "pth"]:
        path = tmp_path / f"prompts.{suffix}"
        tensors = {f"prompt_learner.{key}": normal(2, 4, 16) for key in STATE_KEYS}
        if suffix == "pth":
            torch.save({"params": tensors}, path)
        else:
            said = {"format": FORMAT, "backbone": "RN50"}
            save_file(tensors, path, {**said, "sha256": content_checksum(tensors, said)})
        check_that_damage_is_refused(path, read_prompt_file, 60 * times)


def test_damaged_feature_stores_never_give_other_features(tmp_path, times, caplog):
    """Whatever happens to a store, it is refused, or gives the very features that were put in."""
    paths = [tmp_path / f"{n}.png" for n in range(12)]
    views = [(NOT_AUGMENTED, Augmentation(flip=True))] * 12
    for n, path in enumerate(paths):
        Image.effect_noise((48, 40), 9 + n).convert("RGB").save(path)
    whole = read_or_encode_features(FakeMetric(), tmp_path / "store", paths, views)
    (file,) = tmp_path.glob("store/*/*")

    def read(path):
        for each in {*path.parent.iterdir()} - {path}:
            each.unlink()
        return read_or_encode_features(FakeMetric(), tmp_path / "store", paths, views)

    found = damaged(file, read, 25 * times)
    assert all(each in (REFUSED, (whole.dtype, whole.tolist())) for each in found)
    assert "damaged features are encoded again: line " in caplog.text


def test_damaged_training_states_are_refused(tmp_path, times):
    path = tmp_path / "state.pt"
    state = {"run": "a" * 64, "epoch": 3, "ctx": normal(2, 16, 64), "best": 0.5}
    torch.save(state | {"optimizer": {"state": {0: {"momentum_buffer": torch.ones(2, 16, 64)}}}}, path)
    check_that_damage_is_refused(path, load_pickled, 60 * times)
