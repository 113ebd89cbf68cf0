"""Every shipped configuration runs, on made photos and data sets, with small or made networks."""

import shutil
from contextlib import suppress
from pathlib import Path

import pandas
import pyiqa
import pytest
import yaml
from inputs import write_votes
from PIL import Image

from clipiqa_pyiqa import CLIPIQA
from clipiqa_pyiqa.workbench.files.shipped import shipped_configs, shipped_protocols
from clipiqa_pyiqa.workbench.metrics.configurations import pyiqa_configs
from clipiqa_pyiqa.workbench.table.protocols import read_protocol

pytestmark = pytest.mark.slow

with suppress(ImportError):  # cyclopts checks values with it as soon as any library has imported it
    import pydantic  # noqa: F401

OF_TRAINERS = {"official", "pyiqa", "mini"}  # read by pyiqa's trainer, and by docs/examples/mini/train_mini.py
TABLES = ("table1", "table2", "table5", "fig2")
LINES = {  # configuration -> the command line that its first lines name, on made photos; mini knows no feelings
    "example": "compare -c example -d photos",
    "fig1": "radar -c fig1 photos",
    "fig3": "rank -c fig3 photos",
    "fig4": "sweep -c fig4 photos --steps 3",
    "fig5_fivek": "pairs -c fig5_fivek photos better",
    "fig5_lol": "pairs -c fig5_lol photos better",
    "fig5_polyu": "pairs -c fig5_polyu photos better",
    "fig5_realblur": "pairs -c fig5_realblur photos better",
    "fig6": "rank -c fig6 photos --prompts quality",
    "fig7": "agreement -c fig7 votes.csv",
    "fig8": "rank -c fig8 photos --prompts quality",
}
IMAGES = 20


@pytest.fixture
def photos(tmp_path):
    for folder, contrast in (("photos", 40), ("better", 60)):
        (tmp_path / folder).mkdir()
        for number in range(3):
            photo = Image.effect_noise((96, 64), contrast + number).convert("RGB")
            photo.save(tmp_path / folder / f"{number}.png")
    write_votes(tmp_path, "quality,photos/0.png,photos/1.png,first")


@pytest.fixture
def made_networks(monkeypatch):
    """CLIP-IQA is that of ``mini``; psnr and piqe stand in for metrics of pyiqa whose networks need downloads."""
    create_metric = pyiqa.create_metric

    def create(name, device, **options):
        if name in ("fid", "inception_score"):
            return lambda *folders, **options: 1.0
        mode = pyiqa_configs()[name]["metric_mode"]
        return create_metric("psnr" if mode == "FR" else "piqe", device=device)

    def create_mini(name, device, **options):
        wording = {key: options[key] for key in ("prompts", "template") if key in options}
        return CLIPIQA(backbone="mini", **wording)

    monkeypatch.setattr(pyiqa, "create_metric", create)
    monkeypatch.setattr("clipiqa_pyiqa.workbench.metrics.building.create_ours", create_mini)


def make_data_set(root, name):
    """Write a table of opinions and images as pyiqa's configuration of a data set names them."""
    settings = pyiqa.get_dataset_info()[name]
    table = root.joinpath(*Path(settings["meta_info_file"]).parts[1:])
    folder = root.joinpath(*Path(settings["dataroot_target"]).parts[1:])
    low, high = settings["mos_range"]
    rows = []
    for number in range(IMAGES):
        photo = folder / f"{number}.png"
        photo.parent.mkdir(parents=True, exist_ok=True)
        Image.effect_noise((72, 64), 5 + 5 * number).convert("RGB").save(photo)
        rows.append({"ref_name": photo.name, "img_name": photo.name, "mos": low + (high - low) * number / IMAGES})
        for split in ("official_split", "ratio802_seed123_split_01"):
            rows[-1][split] = ("train", "test")[number % 2]
    columns = ["ref_name"] if settings["type"] == "GeneralFRDataset" else []
    columns += ["img_name", "mos", "official_split", "ratio802_seed123_split_01"]
    table.parent.mkdir(parents=True, exist_ok=True)
    pandas.DataFrame(rows)[columns].to_csv(table, index=False)


def test_every_configuration_is_tried():
    assert shipped_configs().keys() == {*LINES, *TABLES, *OF_TRAINERS}


@pytest.mark.usefixtures("photos")
@pytest.mark.parametrize("name", LINES)
def test_a_configuration_of_a_figure_runs_as_its_comment_says(name, clipiqa, tmp_path):
    command, _, _ = LINES[name].partition(" ")
    config = shipped_configs()[name]
    commented = [line for line in config.read_text().splitlines() if f"#   clipiqa {command}" in line]
    assert any(f"-c {name}" in line for line in commented)
    small = "" if name == "example" else "-b mini"
    clipiqa(f"{LINES[name]} {small} --out out --device cpu", 0)
    assert list(tmp_path.glob("out/*.csv"))


@pytest.mark.usefixtures("made_networks")
@pytest.mark.parametrize("name", TABLES)
def test_a_configuration_of_a_table_runs_on_made_data_sets(name, clipiqa, tmp_path):
    config = yaml.safe_load(shipped_configs()[name].read_text())
    for data_set in config["data"]:
        make_data_set(tmp_path / "datasets", data_set)
    clipiqa(f"compare -c {name} --data-root datasets --out out --device cpu --bootstrap 20", 0)
    compared = pandas.read_csv(tmp_path / "out/comparison.csv")
    ours = compared[compared["SROCC"].notna()]
    for data_set in config["data"]:
        assert {*ours["metric"][ours["data_set"] == data_set]} == {*config["metrics"]}


@pytest.mark.usefixtures("photos", "made_networks")
@pytest.mark.parametrize("name", sorted(shipped_protocols()))
def test_a_protocol_computes_a_table(name, clipiqa, tmp_path):
    protocol = read_protocol(name)
    values = " ".join(f"{value}=1" for value in protocol.values)
    given = f"--value {values}" if values else ""
    if isinstance(protocol.average, dict):
        for method in ("photos", "better"):
            for folder in protocol.average:
                (tmp_path / method / folder).mkdir()
                shutil.copy(tmp_path / method / "0.png", tmp_path / method / folder)
            for photo in (tmp_path / method).glob("*.png"):
                photo.unlink()
    clipiqa(f"table --methods a=photos b=better --reference photos --protocol {name} {given} --device cpu --out out", 0)
    assert (tmp_path / "out/table.csv").exists()
