"""A verdict of ``clipiqa gate`` is about all that was asked and all that was there: what is missing is named."""

from clipiqa_pyiqa.workbench.files.locking import locked


def test_a_gate_that_is_refused_leaves_the_folder_to_the_one_that_writes_there(clipiqa, folders, command):
    (folders / "gate").mkdir()
    with locked(folders / "gate/base.parquet"):
        assert "is being written" in clipiqa(f"{command} mini", 2).err
    assert not (folders / "gate/gate.xml").exists()
