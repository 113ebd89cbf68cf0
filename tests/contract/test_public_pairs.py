"""``clipiqa pairs``: what pairs up, what the table counts, and a folder that is known to be worse."""

import pandas as pd
import pytest
from photos import save_blurred
from PIL import Image


@pytest.mark.slow
def test_a_blurred_folder_loses(clipiqa, tmp_path):
    low = save_blurred(tmp_path / "low", 2.5)
    high = save_blurred(tmp_path / "high", 0)
    out = tmp_path / "out"
    options = f"--backbone mini -p sharpness quality --max-side 160 -q --out {out}"
    first_row = clipiqa(f"pairs {high} {low} {options}", 0).out.splitlines()[1]
    assert first_row.split()[:4] == ["sharpness", "2", "0", "0"]
    assert (pd.read_csv(out / "pairs.csv")["sharpness difference"] < 0).all()
    with Image.open(out / "pairs-sharpness.png") as wrong:
        height = wrong.height
    clipiqa(f"pairs {low} {high} {options} --overwrite", 0)
    with Image.open(out / "pairs-sharpness.png") as right:  # pictures of both sides, though no order is wrong
        assert right.height == height
