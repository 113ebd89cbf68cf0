"""Folders of results: made, checked before a run, and with one name for each file."""

import pytest
from assertions import refused

from clipiqa_pyiqa.workbench.files.file_names import file_name, free_names
from clipiqa_pyiqa.workbench.files.folders import check_folder, check_place, make_folder


def test_a_folder_is_made_and_every_name_checked(tmp_path):
    folder = make_folder(tmp_path / "a/b", ["x.csv", "x.png"])
    assert folder.is_dir()
    picture = folder / "x.png"
    picture.write_text("input")
    refused(make_folder, folder, ["x.csv", "x.png"])
    refused(make_folder, folder, ["x.csv", "x.png"], overwrite=True, inputs=[picture])
    refused(make_folder, picture)
    refused(make_folder, picture / "b")


def test_a_file_is_not_made_a_folder(tmp_path):
    refused(make_folder, tmp_path / "scores.csv")
    assert not (tmp_path / "scores.csv").exists()


@pytest.mark.quick
def test_equal_names_are_numbered_in_any_case():
    assert free_names(["a", "A", "a", "b"]) == ["a", "A-2", "a-3", "b"]
    assert free_names(["a", "a-2", "a"]) == ["a", "a-2", "a-3"]
    assert free_names(["maps", "Maps"], taken=["maps"]) == ["maps-2", "Maps-3"]


@pytest.mark.quick
def test_labels_become_names_of_files():
    assert file_name("Good photo. / Bad photo.") == "Good-photo.-Bad-photo"
    assert file_name("...") == "data"


@pytest.mark.quick
def test_a_place_below_a_file_is_refused_before_anything_is_made(tmp_path):
    (tmp_path / "a.csv").write_text("")
    assert repr(str(tmp_path / "a.csv")) in refused(check_place, tmp_path / "a.csv/b/c.csv")
    assert check_folder(tmp_path / "new/folder", ["x.csv"]) == tmp_path / "new/folder"
    check_place(tmp_path / "a.csv")
    assert not (tmp_path / "new").exists()
