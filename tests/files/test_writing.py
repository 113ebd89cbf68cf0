"""Writing files: whole or not at all, with the mode and link of what was there, and over nothing that is not ours."""

import os

import pytest
from assertions import refused

from clipiqa_pyiqa import CLIPIQAError
from clipiqa_pyiqa.errors import OutputError
from clipiqa_pyiqa.files import check_output, replacing, write_text

# Replacing


def test_an_interrupted_write_changes_no_file(tmp_path):
    (tmp_path / "a").write_text("old")
    with pytest.raises(KeyboardInterrupt), replacing(tmp_path / "a") as partial:
        partial.write_text("half")
        raise KeyboardInterrupt
    assert os.listdir(tmp_path) == ["a"]
    assert (tmp_path / "a").read_text() == "old"


def test_a_partial_file_keeps_its_suffix(tmp_path):
    with replacing(tmp_path / "a.png") as partial:
        assert partial.suffix == ".png" and partial.name.startswith(".")  # hidden: no folder scan finds it


@pytest.mark.parametrize("name", ["n" * 255, "ü" * 127, "n" * 200 + "." + "s" * 54])
def test_the_longest_names_are_written(tmp_path, name):
    write_text(tmp_path / name, "x")
    assert os.listdir(tmp_path) == [name]


def test_a_replaced_file_keeps_its_permissions(tmp_path):
    path = tmp_path / "secret.csv"
    path.write_text("old")
    path.chmod(0o600)
    write_text(path, "new")
    assert path.stat().st_mode & 0o777 == 0o600 and path.read_text() == "new"


def test_a_link_stays_and_its_target_is_replaced(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("folder/real")
    for text in ("first", "second"):  # dangling, then not
        write_text(tmp_path / "link", text)
        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "folder/real").read_text() == text


def test_pipes_and_devices_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    os.mkfifo("fifo")
    for name in ("fifo", "/dev/null"):
        refused(write_text, name, "x")
        refused(check_output, name, overwrite=True)


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    write_text("~/a", "x")
    assert (tmp_path / "a").read_text() == "x"
    assert check_output("~/b") == tmp_path / "b"


def test_errors_about_other_files_are_raised_unchanged(tmp_path):
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "a"):
        (tmp_path / "not there").read_text()
    refused(write_text, tmp_path / "no folder/a", "x")
    assert issubclass(OutputError, CLIPIQAError) and issubclass(OutputError, OSError)


def test_text_that_is_not_unicode_is_escaped(tmp_path):
    write_text(tmp_path / "a", os.fsdecode(b"caf\xe9\r\n"))
    assert (tmp_path / "a").read_bytes() == b"caf\\xe9\r\n"


# Check output


@pytest.mark.parametrize("how", ["same", "link", "hard link"])
def test_inputs_are_never_replaced(tmp_path, how):
    photo = tmp_path / "photo.png"
    photo.write_text("photo")
    out = photo if how == "same" else tmp_path / "out.png"
    if how == "link":
        out.symlink_to(photo)
    elif how == "hard link":
        out.hardlink_to(photo)
    refused(check_output, out, overwrite=True, inputs=[tmp_path / "gone", photo])


def test_outputs_that_cannot_be_written_are_refused(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    for name in ("", "nowhere/a", "file/a", "a\0b"):
        refused(check_output, f"{tmp_path}/{name}")
    check_output(tmp_path / "new")
    monkeypatch.setattr(os, "access", lambda *_: False)  # as root, everything can be written
    refused(check_output, tmp_path / "new")
