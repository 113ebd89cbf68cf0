"""The script behind the tables of docs/table.md runs as it stands, on small pictures."""

from pathlib import Path

import methods_table

ROOT = Path(__file__).parents[2]


def test_enlarged(tmp_path, capsys):
    methods_table.ENLARGERS.pop("Real-ESRGAN", None)  # the network takes its time
    methods_table.main(["--photos", str(ROOT / "tests/data"), "--out", str(tmp_path), "--width", "128"])
    said = capsys.readouterr().out
    assert "niqe is left out: there is no niqe_modelparameters.mat" in said
    assert "| method | psnr-rgb ↑ | psnr-y ↑ | ssim-y ↑ | clipiqa ↑ |" in said and "| Lanczos |" in said
    assert (tmp_path / "enlarged/table/report.html").is_file()
