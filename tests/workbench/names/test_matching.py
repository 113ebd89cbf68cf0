"""Which images of two runs, or of several folders, are the same."""

import pytest
from photos import save_grey

from clipiqa_pyiqa.errors import CLIPIQAError
from clipiqa_pyiqa.workbench.names.folder_images import images_by_name
from clipiqa_pyiqa.workbench.names.matching import NameForm, match
from clipiqa_pyiqa.workbench.names.shared_names import shared_names

pytestmark = pytest.mark.quick

AS_GIVEN = NameForm.AS_GIVEN
BELOW = NameForm.BELOW_COMMON_FOLDER
FILE_NAME = NameForm.FILE_NAME

# case: names of the first run, of the second, the form compared of each, place of a name in the first -> in the second
CASES = {
    "equal names": (["a/1.png", "b/1.png"], ["b/1.png", "a/1.png"], AS_GIVEN, AS_GIVEN, {0: 1, 1: 0}),
    "another suffix": (["1.png", "2.png"], ["1.jpg", "2.webp"], AS_GIVEN, AS_GIVEN, {0: 0, 1: 1}),
    "suffixes tell two images of the first run apart": (["1.png", "1.jpg"], ["1.jpg"], AS_GIVEN, AS_GIVEN, {1: 0}),
    "another folder above": (["/x/a/1.png", "/x/b/1.png"], ["/y/a/1.png", "/y/b/1.png"], BELOW, BELOW, {0: 0, 1: 1}),
    "only the first in a folder": (["/x/a/1.png", "/x/b/2.png"], ["a/1.png", "b/2.png"], BELOW, AS_GIVEN, {0: 0, 1: 1}),
    "only the second in a folder": (
        ["a/1.png", "b/1.png"],
        ["/x/a/1.png", "/x/b/1.png"],
        AS_GIVEN,
        BELOW,
        {0: 0, 1: 1},
    ),
    "the first without folders": (["2.png"], ["x/a/1.png", "x/b/2.png"], AS_GIVEN, FILE_NAME, {0: 1}),
    "the second without folders": (["x/a/1.png", "x/b/2.png"], ["2.png"], FILE_NAME, AS_GIVEN, {1: 0}),
    "files of equal names, so folders count": (["p/1.jpg", "p/s/1.jpg"], ["p/s/1.jpg"], AS_GIVEN, AS_GIVEN, {1: 0}),
    "files of equal names, below a folder": (["p/1.jpg", "p/s/1.jpg"], ["s/1.jpg"], BELOW, AS_GIVEN, {1: 0}),
    "members of shards": (["a.tar::1.jpg", "b.tar::2.jpg"], ["2.jpg"], FILE_NAME, AS_GIVEN, {1: 0}),
    "seconds of frames are no suffix": (["v.mp4::0.5", "v.mp4::1.5"], ["v.mp4::1.7"], AS_GIVEN, AS_GIVEN, {}),
    "two folders are never both left out": (
        ["x/a/1.png", "x/b/2.png"],
        ["y/c/1.png", "y/d/2.png"],
        AS_GIVEN,
        AS_GIVEN,
        {},
    ),
    "a name that stands twice": (["1.png", "1.png"], ["1.jpg"], AS_GIVEN, AS_GIVEN, {0: 0}),
    "nothing in common": (["1.png"], ["2.png"], AS_GIVEN, AS_GIVEN, {}),
    "an empty run": ([], ["2.png"], AS_GIVEN, AS_GIVEN, {}),
}


@pytest.mark.parametrize(("first", "second", "first_form", "second_form", "pairs"), CASES.values(), ids=CASES.keys())
def test_two_runs_share_the_images_whose_names_are_equal_in_one_form(first, second, first_form, second_form, pairs):
    shared = match(first, second)
    assert shared.pairs == {first[one]: second[other] for one, other in pairs.items()}
    assert shared.forms == (first_form, second_form)
    assert shared.first.keys() == set(first)
    assert shared.second.keys() == set(second)


@pytest.mark.parametrize(
    ("first", "second", "texts"),
    [
        (["/a/b/1.png", "/a/c/2.png"], ["b/1.jpg", "c/2.jpg"], [["b/1", "c/2"], ["b/1", "c/2"]]),
        (["1.png", "1.jpg"], ["b/1.png"], [["1.png", "1.jpg"], ["1.png"]]),
        (["a.tar::1.jpg", "b.tar::2.jpg"], ["2.jpg"], [["1", "2"], ["2"]]),
        (["v.mp4::0.5", "v.mp4::0.7"], ["v.mp4::0.7"], [["v.mp4::0.5", "v.mp4::0.7"], ["v.mp4::0.7"]]),
    ],
)
def test_the_texts_that_were_compared_have_no_suffix_if_they_differ_without(first, second, texts):
    shared = match(first, second)
    assert [list(shared.first.values()), list(shared.second.values())] == texts


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("set", {"1": "set/1.png", "sub/2.x": "set/sub/2.x.jpg"}),
        ("set/*.png", {"1": "set/1.png"}),
        ("set/?.png", {"1": "set/1.png"}),
        ("set/[0-9].png", {"1": "set/1.png"}),
        ("set/[!a].png", {"1": "set/1.png"}),
        ("set/**/*.*", {"1/png": "set/1.png", "sub/2.x/jpg": "set/sub/2.x.jpg"}),
        ("*/sub/*.x.jpg", {"set/2": "set/sub/2.x.jpg"}),
    ],
)
def test_names_of_a_folder_or_pattern(tmp_path, monkeypatch, place, expected):
    monkeypatch.chdir(tmp_path)
    for name in ("set/1.png", "set/sub/2.x.jpg"):
        save_grey(tmp_path / name, 9)
    assert images_by_name(place) == expected


def test_a_pattern_names_images_only(tmp_path):
    save_grey(tmp_path / "photo_low.png", 9)
    (tmp_path / "notes_low.txt").write_text("dark")
    assert images_by_name(f"{tmp_path}/*_low.*") == {"photo/png": f"{tmp_path}/photo_low.png"}


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("gone", "'gone' is no folder: name a folder, or a quoted pattern"),
        ("gone/*.png", "nothing matches 'gone/*.png'"),
        ("twins", "'twins/1.jpg' and 'twins/1.png' have the same name, '1'"),
    ],
)
def test_a_place_without_images_or_with_two_of_one_name_is_refused(tmp_path, monkeypatch, place, words):
    monkeypatch.chdir(tmp_path)
    for name in ("twins/1.png", "twins/1.jpg"):
        save_grey(tmp_path / name, 9)
    with pytest.raises(CLIPIQAError) as refusal:
        images_by_name(place)
    assert words in str(refusal.value)


FOLDERS = {
    "ours": {"A/1": "ours/A/1.png", "A/2": "ours/A/2.png", "B/1": "ours/B/1.png", "B/2": "ours/B/2.png"},
    "theirs": {"A/2": "theirs/A/2.png", "C/1": "theirs/C/1.png"},
}


def test_images_that_a_folder_lacks_are_named_by_set_and_left_out_when_asked():
    shared = shared_names(FOLDERS, skip_missing=True)
    assert shared.files.to_dict("index") == {"A/2": {"ours": "ours/A/2.png", "theirs": "theirs/A/2.png"}}
    assert shared.missing == {"ours": ["C/1"], "theirs": ["A/1", "B/1", "B/2"]}
    assert shared.notes == ["ours lacks 'C/'", "theirs lacks 'A/1', 'B/'"]


def test_images_that_a_folder_lacks_are_refused():
    with pytest.raises(CLIPIQAError) as refusal:
        shared_names(FOLDERS)
    assert str(refusal.value).startswith(
        "4 of 5 images are not in all folders (ours lacks 'C/'; theirs lacks 'A/1', 'B/'): complete the folders"
    )


def test_folders_without_a_common_image_are_refused_though_missing_images_may_be_left_out():
    with pytest.raises(CLIPIQAError):
        shared_names({"a": {"1": "a/1.png"}, "b": {"2": "b/2.png"}}, skip_missing=True)
