"""What ``compare --resume`` tells of metrics that an earlier run finished, and this one does not name."""

import pandas
import pytest
from photos import BUNDLED
from PIL import Image, ImageFilter

from clipiqa_pyiqa import compare


@pytest.fixture
def rated(tmp_path):
    """Eight images and their opinions."""
    photo = Image.open(BUNDLED / "canyon-wren.jpg").convert("L").resize((450, 300))
    for number in range(8):
        crop = photo.crop((30 * number, 20 * number, 30 * number + 96, 20 * number + 80))
        crop.filter(ImageFilter.GaussianBlur(number % 3)).save(tmp_path / f"{number}.png")
    write_opinions(tmp_path, 8)
    return tmp_path


def write_opinions(folder, count):
    lines = [f"{number}.png,{number % 5}" for number in range(count)]
    (folder / "mos.csv").write_text("\n".join(["image,mos", *lines]))


@pytest.mark.slow
def test_finished_metrics_stay_in_the_report(clipiqa, rated):
    command = "compare -d mos.csv --bootstrap 50 --device cpu --out"
    clipiqa(f"{command} all -m mini entropy piqe", 0)
    clipiqa(f"{command} out -m entropy piqe", 0)
    clipiqa(f"{command} out -m mini --resume", 0, out="piqe")
    for name, keys in {"comparison.csv": ["metric"], "differences.csv": ["statistic", "first", "second"]}.items():
        expected, found = (
            pandas.read_csv(rated / folder / name).set_index(keys).drop(columns="seconds per image", errors="ignore")
            for folder in ("all", "out")
        )
        pandas.testing.assert_frame_equal(found, expected)
    clipiqa(f"{command} out -m entropy --resume", 0, "8 images done in an earlier run")
    assert pandas.read_csv(rated / "out/comparison.csv")["metric"].tolist() == ["entropy", "piqe", "mini"]
    assert "<h3>piqe</h3>" in (rated / "out/report.html").read_text()


@pytest.mark.slow
def test_a_metric_that_lacks_images_is_named_and_left_out(clipiqa, rated):
    command = "compare -d mos.csv --bootstrap 50 --device cpu --out out --resume"
    write_opinions(rated, 6)
    clipiqa(f"{command} -m entropy", 0)
    write_opinions(rated, 8)
    told = "an earlier run did not score all images by them: 'entropy'"
    printed = clipiqa(f"{command} -m piqe", 1, told, out=told).out
    assert not any(line.startswith("entropy") for line in printed.splitlines())
    printed = clipiqa(f"{command} -m piqe entropy", 0).out
    assert any(line.startswith("entropy") for line in printed.splitlines())


def test_a_metric_that_failed_on_an_image_stays_with_the_reason(rated):
    def choosy(x):
        if x[0, 0, 0, 0] < 0.4:
            raise RuntimeError("too flat for me")
        return x.mean()

    options = {"data_sets": rated / "mos.csv", "out": rated / "out", "bootstrap": 0, "device": "cpu"}
    first = compare({"choosy": choosy}, **options).frame().set_index("metric").loc["choosy"]
    found = compare("entropy", resume=True, **options)
    second = found.frame().set_index("metric").loc["choosy"]
    assert 0 < second["n"] == first["n"] < 8 and second["SROCC"] == first["SROCC"]
    assert "too flat for me" in second["note"] and not found.is_complete
