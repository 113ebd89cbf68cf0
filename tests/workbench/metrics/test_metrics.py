"""Metrics by name, file and object: labels, records, questions beside named metrics, and what is refused."""

import pickle
import shutil
import subprocess
import sys
from importlib.metadata import version

import pyiqa
import pytest
import torch
from assertions import refused
from photos import BUNDLED

from clipiqa_pyiqa import CLIPIQA, score_paths
from clipiqa_pyiqa.family import MEMBERS
from clipiqa_pyiqa.files import hash_file
from clipiqa_pyiqa.prompts.files import save_prompt_file
from clipiqa_pyiqa.workbench.metrics.building import build_metrics
from clipiqa_pyiqa.workbench.metrics.configurations import pyiqa_configs
from clipiqa_pyiqa.workbench.metrics.description import CLIPIQA_NAMES, OTHERS_ON_CLIP, PyiqaDescription, Takes
from clipiqa_pyiqa.workbench.metrics.kinds import BrokenMetric, ClipMetric, FileMetric, ObjectMetric, PyiqaMetric
from clipiqa_pyiqa.workbench.metrics.parsing import parse_metrics
from clipiqa_pyiqa.workbench.metrics.remarks import log_remarks
from clipiqa_pyiqa.workbench.results.columns import changes
from clipiqa_pyiqa.workbench.results.record_text import described

FILES = (Takes.NAME,)
CPU = torch.device("cpu")
CLIP_FIELDS = {"metric", "version", "backbone", "weights", "weights_sha256", "quick_gelu", "precision", "pos_embedding"}
CLIP_FIELDS |= {"range", "lower_better", "questions"}


def column(given, prompts=None):
    (found,) = build_metrics(given, prompts).columns
    return found


@pytest.mark.quick
def test_one_question_has_one_fingerprint_however_it_is_asked():
    net = CLIPIQA(backbone="mini")
    asked = [column(net), column(net, ["quality"]), column("mini"), column(["x=clipiqa:backbone=mini"])]
    asked += [column({"mine": net}), column("mini", "quality"), column([lambda: net], [("Good photo.", "Bad photo.")])]
    assert len({each.fingerprint for each in asked}) == 1 and all(each.record.keys() == CLIP_FIELDS for each in asked)
    assert [each.name for each in asked[:5]] == ["quality", "quality", "mini", "x", "mine"]
    assert column("mini", "sharpness").fingerprint != asked[0].fingerprint


def test_records_have_all_that_scores_depend_on():
    (named,) = (each.build(CPU) for each in parse_metrics("niqe:test_y_channel=false"))
    fields = named.columns[0].record.keys() - {"error"}  # it lacks its file
    assert fields == {"metric", "pyiqa", "options", "seed", "range", "lower_better"}
    assert described(named.columns)["test_y_channel"] == "False"
    function = column({"a": lambda x: x.mean()})
    assert function.record["metric_version"] is None and not function.fingerprint
    assert (
        column(pyiqa.create_metric("entropy")).record.items()
        >= {"metric": "entropy", "pyiqa": version("pyiqa")}.items()
    )
    seeded = [parse_metrics("entropy")[0].build(CPU, seed).columns[0] for seed in (0, 1)]
    assert changes(*(each.record for each in seeded)) == [("seed", "0", "1")]


def test_an_object_is_told_by_its_class_and_may_say_that_low_is_good(caplog):
    class Own(torch.nn.Identity):
        pass

    own = Own()
    low = Own()
    low.lower_better = True
    assert parse_metrics([own]) and not caplog.messages  # the warning comes when it is used
    found = [column([each]) for each in (own, low)]
    for each in (own, low):
        log_remarks(build_metrics([each]).of_images)
    assert [each.name for each in found] == ["Own", "Own"] and [each.lower_better for each in found] == [False, True]
    assert found[0].record["metric"] == f"{__name__}.{Own.__qualname__}"
    (said,) = caplog.messages
    assert "'Own'" in said and "lower_better" in said


def test_files_among_options_are_told_by_their_content(tmp_path):
    found = []
    for name, content in {"a.mat": b"one", "b.mat": b"one", "c.mat": b"two"}.items():
        (tmp_path / name).write_bytes(content)
        (metric,) = parse_metrics(f"niqe:pretrained_model_path={tmp_path / name}", trust_weights=True)
        metric = metric.build(CPU)  # it has no parameters of niqe
        assert isinstance(metric, BrokenMetric) and metric.columns[0].record["files"] == {
            name: hash_file(tmp_path / name)
        }
        found.append(metric.columns[0].fingerprint)
    assert found[0] == found[1] != found[2]


@pytest.mark.quick
def test_a_label_is_the_name_and_its_options():
    labels = {"MINI": "mini", "PSNR-Y": "psnr-y", "taste=niqe": "taste", "runs/taste.safetensors": "taste"}
    labels |= {name: name for name in ("mini:prompts=sharpness", "clipiqa:backbone=mini")}
    for given, label in labels.items():
        alone, beside = (
            parse_metrics(every, also=(Takes.PAIR, Takes.NAME)) for every in ([given], ["niqe", given, "musiq"])
        )
        assert alone[0].label == beside[1].label == alone[0].columns[0].name == label


@pytest.mark.quick
def test_a_file_of_learned_prompts_is_a_metric(tmp_path):
    trained = CLIPIQA("clipiqa+", "mini", pretrained=False)
    trained.load_state_dict({**trained.state_dict(), "prompt_learner.ctx": torch.ones(2, 16, 64) / 50})
    save_prompt_file(trained.prompt_learner, tmp_path / "taste.safetensors")
    (metric,) = (each.build(CPU) for each in parse_metrics(f"{tmp_path}/taste.safetensors"))
    x = torch.rand(1, 3, 64, 64)
    assert metric.label == "taste" and metric.score(x).item() == trained(x).item()
    assert metric.columns[0].record["learned"]["from"] == "taste.safetensors"
    (gone,) = parse_metrics(f"{tmp_path}/gone.safetensors")
    assert "gone.safetensors" in gone.build(CPU).reason


@pytest.fixture
def scores(tmp_path):
    (tmp_path / "deqa.csv").write_text("name,score\na/1.png,3\na/2.png,4\n")
    (tmp_path / "two.csv").write_text("path,niqe,q\na/1.png,3,1\na/2.png,4,2\n")
    return tmp_path


def test_a_file_of_ours_keeps_its_record(tmp_path):
    photo = str(shutil.copy(BUNDLED / "canyon-wren.jpg", tmp_path / "a.jpg"))
    (row,) = score_paths("mini", photo, out=tmp_path / "s.parquet", device="cpu")
    (metric,) = parse_metrics(f"theirs={tmp_path}/s.parquet", also=FILES)
    assert metric.columns[0].fingerprint == column("mini").fingerprint and [*metric.scores.values()] == [*row.scores]


def test_scores_of_images_that_changed_are_left_out_and_a_line_says_so(tmp_path, caplog):
    changed, same = (shutil.copy(BUNDLED / "canyon-wren.jpg", tmp_path / name) for name in ("a.jpg", "b.jpg"))
    score_paths("mini", [changed, same], out=tmp_path / "s.csv", device="cpu").run()
    changed.write_bytes(changed.read_bytes() + b"\0")
    caplog.clear()
    (metric,) = parse_metrics(f"theirs={tmp_path}/s.csv", also=FILES)
    assert metric.changed_images == [str(changed)] and [*metric.scores] == [str(same)]
    assert not caplog.messages  # the line comes when the metric is used
    log_remarks([metric])
    (said,) = caplog.messages
    assert "1 image that changed since" in said


@pytest.mark.quick
def test_score_files_that_cannot_be_used_are_refused(scores):
    for given, noun in {
        "{}/deqa.csv": "lower_better=true",
        "{}/two.csv": "column=niqe",
        "{}/two.csv:colum=niqe": "'column'",
        "{}/two.csv:column=mos": "'mos'",
        "{}/none.csv": "does not exist",
    }.items():
        assert noun in refused(parse_metrics, given.format(scores), also=FILES)


def test_each_kind_of_metric_has_a_class(scores):
    """What is asked for decides the class, not what its fields hold."""
    named = ["mini", "entropy", f"{scores}/gone.safetensors", f"{scores}/deqa.csv:lower_better=true"]
    metrics = [metric.build(CPU) for metric in parse_metrics([*named, {"own": len}], also=FILES)]
    kinds = [ClipMetric, PyiqaMetric, BrokenMetric, FileMetric, ObjectMetric]
    assert list(map(type, metrics)) == kinds
    assert [metric.takes for metric in metrics] == [Takes.IMAGE] * 3 + [Takes.NAME, Takes.IMAGE]


def test_a_description_can_be_sent_to_another_process():
    for name in ("mini", "entropy"):
        (described,) = parse_metrics(name)
        sent = pickle.loads(pickle.dumps(described))
        x = torch.rand(1, 3, 64, 64)
        assert sent == described and sent.build(CPU).score(x).item() == described.build(CPU).score(x).item()


def test_our_classes_are_built_for_the_names_that_they_have():
    ours = {name for name in pyiqa_configs() if PyiqaDescription("", name).is_ours}
    assert {*MEMBERS} == {name for name in ours if not name.startswith("clipiqa")} == {*OTHERS_ON_CLIP}
    assert {*CLIPIQA_NAMES} == {name for name in ours if name.startswith("clipiqa")}


@pytest.mark.parametrize(("name", "similar"), [("liqe_foo", "liqe"), ("clipiqa_foo", "clipiqa"), ("niqee", "niqe")])
def test_a_name_that_begins_like_ours_is_unknown_like_any_other(name, similar):
    message = refused(parse_metrics, name)
    assert message.startswith(f"unknown metric {name!r}: did you mean") and f"{similar!r}" in message


def test_names_and_files_are_checked_before_torch_and_pyiqa_load(scores):
    code = f"""
import sys
from clipiqa_pyiqa.workbench.metrics.description import Takes
from clipiqa_pyiqa.workbench.metrics.parsing import parse_metrics
parse_metrics(["mini", "niqe", "clipiqa:prompts=sharpness", "x.safetensors"])
parse_metrics("{scores}/deqa.csv:lower_better=true", also=(Takes.NAME,))
for given in ("niqq", "lpips", ["niqe", "niqe"], "{scores}/two.csv"):
    try:
        parse_metrics(given)
    except ValueError:
        continue
    sys.exit(1)
sys.exit(bool({{"torch", "pyiqa"}} & {{*sys.modules}}))
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
