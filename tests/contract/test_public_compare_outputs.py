"""What can be asked of a comparison, published values beside it, and every way to ask wrongly."""

import re

import pandas
import pytest
from photos import save_corrupt
from PIL import Image


@pytest.fixture
def photos(tmp_path):
    """A folder of three images, and a table of their scores beside it."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(3):
        Image.effect_noise((40, 40), number * 30 + 5).convert("RGB").save(folder / f"{number}.png")
    (tmp_path / "s.csv").write_text("image,mos\nphotos/0.png,0\nphotos/1.png,1\nphotos/2.png,2\n")
    return folder


@pytest.fixture
def toy_live_itw(tmp_path, monkeypatch, seeded_weights):
    """A folder with seven images called LIVE-itW, and random weights."""
    monkeypatch.setenv("CLIPIQA_WEIGHTS_DIR", str(seeded_weights().parent))
    folder = tmp_path / "LIVEC"
    folder.mkdir()
    (tmp_path / "meta_info").mkdir()
    lines = ["name,mos"]
    for number in range(14):  # pyiqa leaves out the first seven
        Image.effect_noise((64, 48), 20 * number).convert("RGB").save(folder / f"{number}.png")
        lines.append(f"{number}.png,{number}")
    (tmp_path / "meta_info/meta_info_LIVEChallengeDataset.csv").write_text("\n".join(lines))
    return tmp_path


def test_a_toy_data_set_under_a_published_name_meets_no_published_value(clipiqa, toy_live_itw):
    command = f"compare -m clipiqa piqe -d livec --data-root {toy_live_itw} --bootstrap 50 --device cpu"
    printed = clipiqa(command, 0).out.splitlines()
    (paper,) = [line for line in printed if line.startswith("clipiqa") and "paper, Table 1" in line]
    assert "0.612" in paper and "weights file" in paper and "1,169 images, here 7" in paper
    marked = [line for line in printed if "✓" in line]
    assert all("with ✓ if" in line for line in marked)  # the legend


@pytest.mark.slow
def test_the_ablation_has_the_papers_values_of_both_pairs_and_none_of_the_single_text(clipiqa, toy_live_itw):
    printed = clipiqa(f"compare -c fig2 -d livec --data-root {toy_live_itw} --bootstrap 0 --device cpu", 0).out
    lines = [re.split(r"  +", line) for line in printed.splitlines()]
    names = ["single text", "pair", "pair, without positional embedding"]
    ranges = {cells[0]: cells for cells in lines if cells[0] in names and cells[1] == "higher"}
    assert list(ranges) == names
    assert ["-1 to 1" in cells for cells in ranges.values()] == [True, False, False]
    published = {cells[0]: cells for cells in lines if "Table 1" in "".join(cells) or "Table 2" in "".join(cells)}
    assert published.keys() == {"pair", "pair, without positional embedding"}
    assert {"0.481", "0.400"} <= {*published["pair"]}
    assert {"0.612", "0.594"} <= {*published["pair, without positional embedding"]}


@pytest.mark.slow
def test_the_compare_command_writes_tables_report_and_scores(clipiqa, photos, tmp_path):
    save_corrupt(photos / "torn.png")
    table = tmp_path / "s.csv"
    text = table.read_text()
    table.write_text(text + "photos/torn.png,9\n")
    out = tmp_path / "out"
    questions = "-b mini -p sharpness 'Crisp photo.|Hazy photo.'"
    given = f"compare {questions} -m entropy mini -d {table} --out {out} -q"
    said = clipiqa(f"{given} --plcc-fit --bootstrap 20", 1).out  # as an image was left out
    assert "torn.png" in said and "nan" not in said.lower()
    written = {str(path.relative_to(out)) for path in out.rglob("*") if path.is_file()}
    assert {"comparison.csv", "comparison.md", "comparison.tex", "report.html", "scores/s.parquet"} <= written
    scores = pandas.read_parquet(out / "scores/s.parquet")
    assert [*scores.columns[1:5]] == ["sharpness", "Crisp photo.|Hazy photo.", "entropy", "mini"]
    assert not scores["sharpness"].equals(scores["mini"]) and scores["sharpness"].notna().sum() == 3
    clipiqa(given, 2, "--resume")
    clipiqa(f"{given} --resume --format csv", 1, out="entropy")
    table.write_text(text)
    clipiqa(f"{given[:-3]} --resume", 0, "1 row of images that this run lacks (", "torn.png')")
    table.write_text(re.sub(",.$", ",7", text, flags=re.MULTILINE))
    clipiqa(f"{given} --resume", 1, out="all opinion scores are 7")
