"""An image is one row of a continued file, however its path is written."""

import pytest
from photos import save_grey

from clipiqa_pyiqa.workbench.names.spellings import spellings


@pytest.fixture
def photos(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number in range(3):
        save_grey(tmp_path / f"ph/{number}.png", 40 * number + 9)
    return tmp_path


def test_addresses_have_one_spelling(photos):
    assert spellings("s3://bucket/a.png") == spellings("s3://bucket/a.tar::b.png") == []
    assert spellings("ph//0.png") == [f"{photos}/ph/0.png", "ph/0.png", "./ph/0.png"]
