"""pyiqa's data sets: read as pyiqa's own data set objects read them, and alike by all commands."""

from pathlib import Path

import pandas
import pyiqa
import pytest
import torch
from assertions import refused
from PIL import Image
from pyiqa.data import build_dataset
from pytest import approx

from clipiqa_pyiqa.workbench.images.image import File
from clipiqa_pyiqa.workbench.opinions.data_sets import parse_data_sets
from clipiqa_pyiqa.workbench.opinions.pyiqa_sets import locate
from clipiqa_pyiqa.workbench.opinions.score_table import find_score_table
from clipiqa_pyiqa.workbench.opinions.table_file import read_opinions
from clipiqa_pyiqa.workbench.options import AnySize

SETS = pyiqa.get_dataset_info()
OF_PAIRS = ("pieapp", "bapps")
OF_OPINIONS = [  # ava has more photos than the others together
    *sorted(SETS.keys() - {*OF_PAIRS, "ava"}),
    pytest.param("ava", marks=pytest.mark.slow),
]
PHASES = ("train", "val", "test")
IMAGES = 24
AVA_IMAGES = 2600  # more than the 2,000 that pyiqa validates on


def split_cells(name, row):
    """The cells of columns of splits, as pyiqa's tables have them."""
    if name == "ava":
        return [("official_split", (0, 0, 0, 1, 2)[row % 5])]
    phase = PHASES[(row * 7) % 5 % 3]
    official = "unused" if row == 5 else phase
    return [("official_split", official), ("ratio802_seed123_split_01", PHASES[row % 3])]


def write_table(root, name):
    """Write a table of a data set of pyiqa's below ``root``, and an empty folder of its images."""
    info = SETS[name]
    table = root.joinpath(*Path(info["meta_info_file"]).parts[1:])
    for key in ("dataroot_target", "dataroot_ref"):
        if key in info:
            root.joinpath(*Path(info[key]).parts[1:]).mkdir(parents=True, exist_ok=True)
    count = AVA_IMAGES if name == "ava" else IMAGES
    low, high = info.get("mos_range", (0, 5))
    rows = []
    for row in range(count):
        cells = [("img_name", f"a/{row}.png"), ("mos", low + (high - low) * row / count)]
        if info["type"] == "GeneralFRDataset":
            cells.insert(0, ("ref_name", f"r/{row % 4}.png"))
        rows.append(dict(cells + split_cells(name, row)))
    table.parent.mkdir(parents=True, exist_ok=True)
    pandas.DataFrame(rows).to_csv(table, index=False)


def pyiqas_opinions(root, name, phase, **options):
    """Image -> opinion, as pyiqa's data set object has them."""
    settings = {**SETS[name], "phase": phase, **options}
    for key in ("meta_info_file", "dataroot_target", "dataroot_ref"):
        if key in settings:
            settings[key] = str(root.joinpath(*Path(settings[key]).parts[1:]))
    theirs = build_dataset(settings)
    image = 1 if settings["type"] == "GeneralFRDataset" else 0
    folder = Path(getattr(theirs, "dataroot", ""))
    return {str(folder / row[image]): row[image + 1] for row in theirs.paths_mos}


@pytest.mark.parametrize("name", OF_OPINIONS)
def test_each_set_has_pyiqas_images_opinions_and_splits(name, tmp_path):
    write_table(tmp_path, name)
    for options in ({}, {"split_index": 1 if name != "ava" else "official_split"}):
        for phase in PHASES:
            (data,) = parse_data_sets({name: {"dataset": name, "phase": phase, **options}}, tmp_path)
            theirs = pyiqas_opinions(tmp_path, name, phase, **options)
            assert dict(zip(data.paths, data.mos, strict=True)) == approx(theirs, rel=1e-12)


@pytest.mark.parametrize("name", OF_OPINIONS)
def test_all_commands_read_the_same_splits(name, tmp_path):
    """What ``train`` and ``fit`` hold out is what ``compare`` tests on."""
    write_table(tmp_path, name)
    opinions = read_opinions(locate(name, tmp_path).file)
    for phase in PHASES:
        (data,) = parse_data_sets({name: {"dataset": name, "phase": phase}}, tmp_path)
        assert opinions.part(phase).paths == data.paths
    for path in opinions.paths:
        Path(path).parent.mkdir(exist_ok=True)
        Path(path).write_text(path)
    table = find_score_table(name, data_root=tmp_path)
    if opinions.splits is None:
        assert tuple(table.frame["path"]) == opinions.paths
    else:
        for phase in PHASES:
            assert tuple(table.part(phase)["path"]) == opinions.part(phase).paths


@pytest.mark.quick
def test_the_first_seven_images_of_live_in_the_wild_trained_its_raters(tmp_path):
    write_table(tmp_path, "livec")
    opinions = read_opinions(locate("livec", tmp_path).file)
    assert len(opinions.paths) == IMAGES - 7 and opinions.paths[0].endswith("7.png")


def test_normalised_opinions_are_pyiqas(tmp_path):
    for name in ("csiq", "tid2013", "koniq10k"):
        write_table(tmp_path, name)
        (data,) = parse_data_sets(f"{name}:mos_normalize=true", tmp_path)
        theirs = pyiqas_opinions(tmp_path, name, "test", mos_normalize=True)
        assert dict(zip(data.paths, data.mos, strict=True)) == approx(theirs, rel=1e-12) and not data.lower_better


@pytest.mark.quick
def test_images_in_no_split_are_named(tmp_path, caplog):
    write_table(tmp_path, "koniq10k")
    for path in read_opinions(locate("koniq10k", tmp_path).file).paths:
        Path(path).parent.mkdir(exist_ok=True)
        Path(path).write_text(path)
    table = find_score_table("koniq10k", data_root=tmp_path)
    table.log_notes()
    assert len(table.frame) == IMAGES - 1
    assert "left out: 1 image of" in caplog.text and "in no split" in caplog.text


def test_pyiqa_opens_only_the_images_that_it_changes(tmp_path):
    write_table(tmp_path, "spaq")
    folder = tmp_path / "SPAQ/TestImage/a"
    folder.mkdir()
    for row in range(IMAGES):
        Image.effect_noise((60, 50), 40 + row).convert("RGB").save(folder / f"{row}.png")
    (changed,) = parse_data_sets("spaq", tmp_path)
    (unchanged,) = parse_data_sets({"spaq": {"augment": None}}, tmp_path)
    assert changed.images[0].load(AnySize()).pixels.shape == (3, 448, 537)
    assert type(unchanged.images[0]) is File
    theirs = locate("spaq", tmp_path, {"augment": None})
    pixels = build_dataset(dict(theirs.settings))[3]["img"]
    assert torch.equal(unchanged.images[3].load(AnySize()).pixels / 255, pixels)


def test_sets_that_cannot_be_compared_are_refused_alike(tmp_path):
    for name in OF_PAIRS:
        write_table(tmp_path, name)
        for reader in (lambda name=name: parse_data_sets(name, tmp_path), lambda name=name: locate(name, tmp_path)):
            assert "judgements of pairs" in refused(reader)
    write_table(tmp_path, "livec")
    assert "phase" in refused(parse_data_sets, "livec:phase=all", tmp_path)
    assert "split_index" in refused(parse_data_sets, "livec:split_index=7", tmp_path)
