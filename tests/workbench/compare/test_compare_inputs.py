"""What can be asked of a comparison, published values beside it, and every way to ask wrongly."""

import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from types import SimpleNamespace
from unittest.mock import Mock
from urllib.error import URLError

import numpy as np
import pyiqa
import pytest
import torch
import yaml
from assertions import refused
from photos import BUNDLED
from PIL import Image
from weights_fakes import Trap

from clipiqa_pyiqa import CLIPIQA, WeightsError, compare
from clipiqa_pyiqa.weights.published import PINNED
from clipiqa_pyiqa.workbench.compare.published_metric import published_metric
from clipiqa_pyiqa.workbench.files.specifications import parse_argument
from clipiqa_pyiqa.workbench.files.yaml import read_yaml
from clipiqa_pyiqa.workbench.images.image import File
from clipiqa_pyiqa.workbench.metrics.description import PyiqaDescription, Takes
from clipiqa_pyiqa.workbench.metrics.kinds import BrokenMetric, ClipMetric
from clipiqa_pyiqa.workbench.metrics.parsing import parse_metrics
from clipiqa_pyiqa.workbench.opinions.data_set import DataSet
from clipiqa_pyiqa.workbench.opinions.data_sets import parse_data_sets
from clipiqa_pyiqa.workbench.opinions.published import ENSEMBLE, PAPER, find_published
from clipiqa_pyiqa.workbench.options import AnySize

ROOT = BUNDLED.parents[1]
BENCHMARKS = sorted((ROOT / "configs" / "benchmark").glob("*.yml"))
CPU = torch.device("cpu")
OPENAIS = PINNED["timm/resnet50_clip.openai"][1]
"""The hash of OpenAI's RN50 on the hub."""


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
def data_root(tmp_path):
    """Tables and (empty) image folders of the paper's data sets, as pyiqa expects them."""
    root = tmp_path / "root"
    for images in ("koniq10k/1024x768", "koniq10k/512x384", "LIVEC", "SPAQ/TestImage", "tid2013/distorted_images"):
        (root / images).mkdir(parents=True)
    tables = root / "meta_info"
    tables.mkdir()
    rated = [f"{n}.jpg,{n},{'test' if n < 5 else 'train'}" for n in range(20)]
    for name in ("KonIQ10k", "LIVEChallenge", "SPAQ"):
        (tables / f"meta_info_{name}Dataset.csv").write_text("\n".join(["name,mos,official_split", *rated]))
    distorted = [f"r.bmp,{n}.bmp,{n}" for n in range(20)]
    (tables / "meta_info_TID2013Dataset.csv").write_text("\n".join(["ref,dist,mos", *distorted]))
    return root


def test_text_is_a_label_a_target_and_options():
    for text, label, target, options in [
        ("a b=niqe:test_y_channel=false,x=[1, 2]", "a b", "niqe", {"test_y_channel": False, "x": [1, 2]}),
        ("niqe:pretrained_model_path=a,b:c.mat", "", "niqe", {"pretrained_model_path": "a,b:c.mat"}),
        (
            "clipiqa:prompts=Good, sharp.|Bad, dull.,precision=bf16",
            "",
            "clipiqa",
            {"prompts": "Good, sharp.|Bad, dull.", "precision": "bf16"},
        ),
        ("C:/photos/s.csv", "", "C:/photos/s.csv", {}),
    ]:
        request = parse_argument(text)
        assert (request.label, request.target, dict(request.options)) == (label, target, options)


def test_options_are_written_as_pyiqa_has_them():
    given = yaml.safe_load(
        """
        niqe: {metric_opts: {type: NIQE, test_y_channel: true}, metric_mode: NR, lower_better: true}
        grey: {metric_opts: {type: Entropy}, metric_mode: NR, score_range: '0, 8'}
        worse: {metric: entropy, lower_better: true}
        musiq-ava: ~
        """
    )
    niqe, grey, worse, musiq = parse_metrics(given)
    columns = [metric.columns[0] for metric in (niqe, grey, worse, musiq)]
    assert (niqe.name, dict(niqe.options)) == ("niqe", {})  # all of them pyiqa's own
    assert (grey.name, dict(grey.options), worse.name) == ("", {"type": "Entropy"}, "entropy")
    assert [column.lower_better for column in columns] == [True, False, True, False]
    assert [column.bounds for column in columns] == [(None, None), (0, 8), (0, 8), (1, 10)]
    x = torch.rand(1, 3, 40, 40)
    assert grey.build(CPU).score(x).item() == worse.build(CPU).score(x).item()


@pytest.mark.parametrize("path", BENCHMARKS, ids=lambda path: path.stem)
def test_benchmark_configurations_can_be_used(path, data_root, monkeypatch):
    monkeypatch.chdir(ROOT)
    config = read_yaml(path)
    specs = parse_metrics(config["metrics"])
    sets = parse_data_sets(config["data"], data_root)
    if path.stem == "example":
        return
    for data in sets:
        assert len(data.paths) == {"koniq10k-1024": 5, "livec": 20, "spaq": 4, "tid2013": 20}[data.name]
        assert specs and find_published(PAPER, data.published_as, 1169, data.part).is_of_paper


def test_csv_files_and_folders_are_data_sets(photos):
    given = {"t": {"csv": f"{photos}/../s.csv", "lower_better": True}, "f": {"folder": photos}}
    table, folder = parse_data_sets(given)
    assert table.mos == (0, 1, 2) and table.lower_better and "lower opinion" in table.note
    assert folder.mos is None and folder.images[0].load(AnySize()).pixels.dtype == torch.uint8


def test_groups_are_spoken_of_only_where_they_are_asked_for(photos):
    table = photos.with_name("grouped.csv")
    table.write_text("image,mos,ref,reference\nphotos/0.png,0,a,b\n")
    for within, groups in (("", ()), ("reference", ("b",))):
        (data,) = parse_data_sets(table, within=within)
        assert data.groups == groups and not data.notes_on_columns


def test_a_name_of_pyiqas_is_no_folder_by_chance(data_root, monkeypatch):
    monkeypatch.chdir(data_root)
    (data_root / "tid2013" / "x.png").touch()
    for given, is_rated in [("tid2013", True), ("./tid2013", False)]:
        (data,) = parse_data_sets(given, data_root)
        assert data.name == "tid2013" and (data.mos is not None) == is_rated


def test_only_data_sets_as_published_have_published_values(data_root):
    copied = pyiqa.get_dataset_info()["koniq10k"]
    given = {
        "koniq10k-1024": None,
        "other part": {"dataset": "koniq10k", "phase": "train"},
        "smaller": {"dataset": "livec", "augment": {"resize": 224}},
        "paper's": {"dataset": "spaq", "augment": {"resize": 512}},
        "bicubic": {"dataset": "spaq", "augment": {"resize": {"size": 512, "interpolation": 3}}},
        "entire": {"dataset": "livec", "type": "GeneralNRDataset"},
        "koniq10k": dict(copied, dataroot_target="./datasets/koniq10k/1024x768"),  # as once written
    }
    found = [data.published_as for data in parse_data_sets(given, data_root)]
    assert found == ["koniq10k-1024", "", "", "spaq at 512", "spaq at 512", "livec", ""]


def test_published_values_belong_to_prompts_weights_and_positions(monkeypatch):
    def published(prompts=None, sha256=OPENAIS, pos_embedding="none", **options):
        net = CLIPIQA(backbone="mini", prompts=prompts, **options)
        net.pos_embedding = pos_embedding  # of RN50, which mini stands in for
        weights = SimpleNamespace(tag="openai", backbone="RN50", sha256=sha256)
        monkeypatch.setattr(net, "clip", SimpleNamespace(weights=weights))
        return published_metric(ClipMetric(PyiqaDescription("clipiqa", "clipiqa"), (), net, None))

    def name(*prompts, **options):
        return published(*prompts, **options).name

    assert not published().difference
    assert published(sha256="0" * 64).difference == "weights openai 00000000, whose hash is not that of OpenAI's"
    assert name() == name("quality") == name([("Good photo.", "Bad photo.")]) == PAPER
    assert name("pyiqa") == ENSEMBLE
    assert find_published(name(template="A photo of {}."), "livec", 1169, "all images").values["SROCC"] == 0.263
    koniq = find_published("clipiqa+", "koniq10k-1024", 2015, "test part of official_split")
    assert koniq.values["SROCC"] == 0.895  # pyiqa's benchmark has 0.8954


def test_a_random_share_of_a_data_set_is_drawn_by_its_seed(data_root, photos):
    first, again, other = parse_data_sets(
        {seed: f"spaq:share=0.2,seed={value}" for seed, value in {"a": 0, "b": 0, "c": 1}.items()}, data_root
    )
    (whole,) = parse_data_sets("spaq", data_root)
    assert len(first.paths) == len(first.mos) == 4 and first.part == "a random 20 %, seed 0"
    opinions = dict(zip(whole.paths, whole.mos, strict=True))
    assert first.mos == tuple(opinions[path] for path in first.paths)
    assert first.paths == again.paths != other.paths and first.identity == again.identity != other.identity
    assert first.note == "4 images, a random 20 %, seed 0, of 20 images; resize 448"
    (test,) = parse_data_sets("koniq10k:share=0.5", data_root)
    assert test.part == "a random 50 % of the test part of official_split, seed 0"
    for given in ("spaq:share=0", "spaq:share=1.1", "spaq:seed=1", "spaq:share=0.01", "spaq:share=a"):
        assert "share" in refused(parse_data_sets, given, data_root)
    (drawn,) = parse_data_sets(f"{photos}:share=0.4", data_root)
    assert len(drawn.paths) == 1 and drawn.mos is None


def test_the_short_side_can_be_resized_bicubically_as_in_the_official_code(data_root):
    folder = data_root / "SPAQ/TestImage"
    for number in range(20):
        Image.effect_noise((90, 60), 50).convert("RGB").save(folder / f"{number}.jpg")
    image = Image.open(folder / "0.jpg")
    for option, filter_of_pil in [("40", Image.BILINEAR), ("{size: 40, interpolation: 3}", Image.BICUBIC)]:
        (data,) = parse_data_sets(f"spaq:augment={{resize: {option}}}", data_root)
        expected = torch.from_numpy(np.array(image.resize((60, 40), filter_of_pil))).permute(2, 0, 1) / 255
        assert torch.equal(data.images[0].load(AnySize()).pixels, expected)


def test_metrics_that_cannot_be_used_are_refused():
    for given, noun in [
        ("nique", "'niqe'"),
        ("mos=niqe", "'mos'"),
        ("clipiqa:promts=quality", "'prompts'"),
        ("niqe:test_channel=true", "'test_y_channel'"),
        ([len, len], "{'LABEL': object}"),
        ({"a": {"metric_opt": {}}}, "'metric_opts'"),
        ({"niqe": {"lower_better": "maybe"}}, "lower_better"),
    ]:
        assert noun in refused(lambda given=given: [metric.build(CPU) for metric in parse_metrics(given)])


def test_data_sets_that_cannot_be_used_are_refused(data_root, tmp_path):
    for given, noun in {
        "koniq": "'koniq10k'",
        "tid2008": "meta_info_file",
        "livec:split_index=fold_7": "fold_7",
        "livec:mos_rage=[0, 1]": "'mos_range'",
        "nowhere/*.png": "nowhere",
    }.items():
        assert noun in refused(parse_data_sets, given, data_root)
    one_name = [DataSet(name, (File("/a"),), None) for name in ("a/d", "a-d")]
    refused(compare, {"m": lambda x: x.mean()}, one_name, out=tmp_path)


def test_files_that_could_run_code_are_refused_before_anything_is_built(tmp_path, monkeypatch):
    canary = tmp_path / "canary"
    trap = tmp_path / "trap.pth"
    torch.save({"params": Trap(canary)}, trap)
    theirs = f"cnniqa:pretrained_model_path={trap}"
    ours = f"clipiqa:clip_weights={trap}"
    with pytest.raises(WeightsError):
        parse_metrics(theirs)
    assert parse_metrics(theirs, trust_weights=True)
    assert parse_metrics(ours)  # ours opens it without running it
    assert not parse_metrics("clipiqa:type=CLIPIQA_builtin")[0].is_ours
    monkeypatch.setenv("CLIPIQA_PYIQA_BUILTIN", "1")
    with pytest.raises(WeightsError):
        parse_metrics(ours)
    assert not canary.exists()


@pytest.mark.parametrize("name, file, takes_it", [("musiq", "musiq_koniq_ckpt", True), ("lpips", "alexnet", False)])
def test_a_file_that_pyiqa_cannot_fetch_is_named_with_its_url(name, file, takes_it, tmp_path, monkeypatch):
    """The message says which file, from where and to where; a tower of torchvision's is no option of the metric."""
    monkeypatch.setattr("torch.hub.urlopen", Mock(side_effect=URLError("no network")))
    monkeypatch.setattr("pyiqa.utils.download_util.DEFAULT_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    (spec,) = parse_metrics(name, also=(Takes.PAIR,))
    said = spec.build(CPU).reason
    assert re.search(rf"URLError.*no network.*; fetch https://\S+{file}\S* and save it as /\S+{file}", said)
    assert ("pretrained_model_path=FILE" in said) == takes_it


def test_a_file_that_is_not_in_the_hubs_cache_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    (spec,) = parse_metrics("topiq_nr")
    said = spec.build(CPU).reason
    assert "LocalEntryNotFoundError" in said and "\n" not in said
    assert re.search(r"; https://\S+/timm/resnet50\S+/pytorch_model.bin is missing in the hub's cache", said)
    assert str(tmp_path) in said


def test_threads_that_build_metrics_leave_the_process_as_it_was(tmp_path, monkeypatch):
    """Each build sends what pyiqa prints to standard error; a thread must not take the other's stream for the usual."""
    monkeypatch.setattr("pyiqa.utils.download_util.DEFAULT_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr("torch.hub.urlopen", Mock(side_effect=URLError("no network")))
    is_second_there = Event()
    is_first_done = Event()
    create = pyiqa.create_metric

    def created(name, **options):
        if name == "piqe":
            is_second_there.wait(0.5)  # in vain if the second may not begin before
        else:
            is_second_there.set()
            is_first_done.wait(0.5)
        return create(name, **options)

    def first():
        metric = parse_metrics("piqe")[0].build(CPU)
        is_first_done.set()
        return metric

    def second():
        time.sleep(0.1)
        return parse_metrics("entropy")[0].build(CPU)

    monkeypatch.setattr("pyiqa.create_metric", created)
    before = (sys.stdout, sys.stderr, torch.random.get_rng_state().tolist())
    with ThreadPoolExecutor(2) as threads:
        built = [threads.submit(first), threads.submit(second)]
    built = [metric.result() for metric in built]
    assert not any(isinstance(metric, BrokenMetric) for metric in built)
    assert (sys.stdout, sys.stderr, torch.random.get_rng_state().tolist()) == before
