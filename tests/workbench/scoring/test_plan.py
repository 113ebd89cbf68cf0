"""What a run has to score: which images, by which metrics, in which blocks; and the tally of its images."""

from collections import Counter
from dataclasses import dataclass

import pytest
import torch
from metrics import Brightness

from clipiqa_pyiqa.workbench.images.image import Image
from clipiqa_pyiqa.workbench.metrics.building import build_metrics
from clipiqa_pyiqa.workbench.results.earlier import EarlierRun
from clipiqa_pyiqa.workbench.results.output import Output
from clipiqa_pyiqa.workbench.results.row import Row
from clipiqa_pyiqa.workbench.results.store import open_results
from clipiqa_pyiqa.workbench.scoring.options import Options
from clipiqa_pyiqa.workbench.scoring.plan import plan
from clipiqa_pyiqa.workbench.scoring.tally import Tally

CPU = torch.device("cpu")


@dataclass
class Photo(Image):
    name: str
    state: str = "1 1"

    def stamp(self):
        return self.state


class NewPhoto(Photo):
    """A photo in a store, which takes long to answer."""

    def stamp(self):
        raise AssertionError("a new image was asked for its stamp")


@pytest.fixture(scope="module")
def metrics():
    return build_metrics(Brightness(), device=CPU)


def earlier_run(metrics, scores, kinds, **options):
    """An earlier run by one metric; image -> score, and image -> kind of its failure."""
    (column,) = metrics.columns
    earlier = EarlierRun([column.name], {column.name: column.name}, **options)
    for name in {**scores, **kinds}:
        kind = kinds.get(name)
        error = f"{name} fails" if kind else None
        cells = {"path": name, "stamp": "1 1", "width": 9, "kind": kind, "error": error, column.name: scores.get(name)}
        earlier.add(cells)
    return earlier


def test_a_resumed_run_scores_a_block_again_in_which_the_run_was_broken_off(metrics):
    photos = [Photo(str(number)) for number in range(40)]
    options = Options(torch.device("cuda"), batch_size=2)
    scores = {str(number): 0.5 for number in range(18) if number != 3}
    earlier = earlier_run(metrics, scores, {"3": "other"}, is_interrupted=True)
    whole = {int(task.image.name): task.block for task in plan(photos, metrics, options).tasks}
    resumed = {int(task.image.name): task.block for task in plan(photos, metrics, options, earlier).tasks}
    assert list(whole) == list(range(40))
    assert list(resumed) == [3, *range(16, 40)] and resumed.items() <= whole.items()


def test_every_image_is_counted_once_and_only_what_lacks_scores_is_a_task(metrics):
    earlier = earlier_run(metrics, {"a": 0.5, "b": 0.5}, {"c": "empty", "d": "other"})
    photos = [Photo("a"), Photo("b", "2 2"), Photo("c"), Photo("d"), NewPhoto("e")]
    planned = plan(photos, metrics, Options(CPU), earlier)
    assert planned.tally == Tally()  # nothing is counted before it is planned
    tasks = list(planned.tasks)
    assert [task.image.name for task in tasks] == ["b", "d", "e"] and all(task.wanted == [True] for task in tasks)
    assert planned.tally == Tally(unchanged=2, changed=1, new=1, incomplete=1, failed=1, failed_by=Counter(quality=1))
    assert str(planned.tally) == "2 images done in an earlier run; to score: 1 lacking scores, 1 changed since, 1 new"


def test_planning_changes_nothing_of_the_earlier_run(metrics):
    earlier = earlier_run(metrics, {"a": 0.5}, {})
    photos = [Photo("a"), Photo("./a"), Photo("b")]
    plans = [plan(photos, metrics, Options(CPU), earlier) for _ in range(2)]
    names = [[task.image.name for task in planned.tasks] for planned in plans]
    assert names == [["./a", "b"]] * 2 and plans[0].tally == plans[1].tally and [*earlier] == ["a"]


def test_results_tell_which_earlier_images_a_run_lacks_and_which_are_gone(metrics, tmp_path):
    (tmp_path / "there.png").touch()
    names = [str(tmp_path / f"{stem}.png") for stem in ("scored", "there", "lost")]
    out = tmp_path / "scores.csv"
    options = Options(CPU)
    with open_results(Output(out), metrics.columns, {}) as results:
        for name in names:
            results.append(Row(name, (0.5,), 9, 9, 9, 9, 1, stamp="1 1"))
    with open_results(Output(out, resume=True), metrics.columns, {}) as results:
        planned = plan(results.images.claiming([Photo(names[0])]), metrics, options, results.earlier)
        assert results.images.unmet == names  # as no image has been taken
        assert list(planned.tasks) == [] and planned.tally == Tally(unchanged=1)
        assert results.images.unmet == names[1:] and results.images.gone == names[2:]
