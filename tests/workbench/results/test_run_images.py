"""Which images of an earlier run a run has, under which names, and which are gone."""

from types import SimpleNamespace

import pytest

from clipiqa_pyiqa.workbench.results.earlier import EarlierRun
from clipiqa_pyiqa.workbench.results.run_images import RunImages


def earlier_run(*names):
    earlier = EarlierRun()
    for name in names:
        earlier.add({"path": name, "stamp": "1 1", "width": 9, "kind": None, "error": None})
    return earlier


def test_a_row_gets_the_name_under_which_the_run_has_its_image():
    earlier = earlier_run("a.png", "b.png")
    images = RunImages(earlier)
    images.claim("./a.png")
    assert [*earlier] == ["b.png", "./a.png"] and images.renamed == {"a.png": "./a.png"}
    assert images.unmet == ["b.png"]


@pytest.mark.parametrize("first, second", [("a.png", "./a.png"), ("./a.png", "a.png")])
def test_of_several_spellings_the_first_has_the_row(first, second):
    """The second is a new image, and so its row is written, too."""
    earlier = earlier_run("a.png")
    images = RunImages(earlier)
    images.claim(first)
    images.claim(second)
    assert first in earlier and second not in earlier and images.unmet == []


def test_each_image_is_met_when_it_is_taken():
    earlier = earlier_run("a.png", "b.png", "c.png")
    images = RunImages(earlier)
    coming = iter(images.claiming([SimpleNamespace(name="c.png"), SimpleNamespace(name="a.png")]))
    assert images.unmet == ["a.png", "b.png", "c.png"]
    next(coming)
    assert images.unmet == ["a.png", "b.png"]
    next(coming)
    assert images.unmet == ["b.png"]


def test_gone_are_lost_files_and_members_of_changed_shards(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.png").touch()
    (tmp_path / "changed.tar").touch()
    names = ["there.png", "lost.png", "there.png [scale 0.5]", "lost.png [scale 0.5]", "changed.tar::0.png"]
    assert RunImages(earlier_run(*names)).gone == ["lost.png", "lost.png [scale 0.5]", "changed.tar::0.png"]
