"""What a metric of pyiqa reads from files by itself is a part of its record: other parameters are another metric."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pandas
import pytest
import scipy.io
import torch
from assertions import refused
from photos import BUNDLED, save_grey

from clipiqa_pyiqa import compare, gate, score_paths, table
from clipiqa_pyiqa.files import hash_file
from clipiqa_pyiqa.workbench.metrics import parameters
from clipiqa_pyiqa.workbench.metrics.building import build_metrics
from clipiqa_pyiqa.workbench.metrics.opened_files import opened_weights
from clipiqa_pyiqa.workbench.results.record_text import described

NIQE, BRISQUE, NRQM = "niqe_modelparameters.mat", "brisque_svm_weights.pth", "NRQM_model.mat"
CNNIQA = "CNNIQA_koniq10k-e6f14c91.pth"
OPTIONS = {"device": "cpu", "workers": 1}


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The folder where pyiqa looks for the files that its metrics load by default."""
    folder = tmp_path / "cache"
    folder.mkdir()
    monkeypatch.setattr("pyiqa.utils.download_util.DEFAULT_CACHE_DIR", str(folder))
    monkeypatch.chdir(tmp_path)
    for name in ("canyon-wren.jpg", "blue-periwinkle.jpg"):
        (tmp_path / "photos").mkdir(exist_ok=True)
        shutil.copy(BUNDLED / name, tmp_path / "photos")
    return folder


def save_niqe(path, mean=2.0):
    scipy.io.savemat(path, {"mu_prisparam": np.full((1, 36), mean), "cov_prisparam": np.eye(36)})


def save_brisque(path, seed=0):
    draws = torch.Generator().manual_seed(seed)
    torch.save((torch.randn(1, 5, generator=draws), torch.randn(36, 5, generator=draws)), path)


def save_nrqm(path, first=0.0):
    forest = {"a": np.ones(2), "b": np.ones(2), "c": np.ones(2), "d": np.ones(2)}
    forest |= {"e": np.full(2, first), "f": np.ones(2), "g": np.ones(2)}
    model = {"linear": np.arange(3.0), "rf": np.array([[forest] * 3], dtype=object)}
    scipy.io.savemat(path, {"model": model})


def save_cnniqa(path, seed=0):
    torch.manual_seed(seed)
    network = torch.nn.ModuleDict(
        {
            "conv1": torch.nn.Conv2d(3, 50, 7),
            "fc1": torch.nn.Linear(100, 800),
            "fc2": torch.nn.Linear(800, 800),
            "fc3": torch.nn.Linear(800, 1),
        }
    )
    torch.save({"params": network.state_dict()}, path)


def column(name):
    (found,) = build_metrics([name]).columns
    return found


@pytest.mark.quick
@pytest.mark.parametrize(
    "name, files",
    [
        ("niqe", {NIQE: (save_niqe, 2.5)}),
        ("brisque", {BRISQUE: (save_brisque, 1)}),
        ("pi", {NRQM: (save_nrqm, 1.0), NIQE: (save_niqe, 2.5)}),
        ("cnniqa", {CNNIQA: (save_cnniqa, 1)}),
    ],
)
def test_files_that_a_metric_loads_by_default_are_in_its_record(name, files, cache):
    for file, (save, _) in files.items():
        save(cache / file)
    found = column(name)
    assert found.record["files"] == {file: hash_file(cache / file) for file in files}
    assert column(name) == found
    for file, (save, other) in files.items():
        save(cache / file, other)
        changed = column(name)
        assert changed.fingerprint != found.fingerprint
        assert changed.record["files"][file] == hash_file(cache / file) != found.record["files"][file]
        save(cache / file)
        assert column(name).fingerprint == found.fingerprint


def test_the_same_parameters_are_one_metric_whatever_the_file(cache):
    save_niqe(cache / NIQE)
    before = column("niqe")
    scipy.io.savemat(cache / NIQE, scipy.io.loadmat(cache / NIQE), do_compression=True)
    assert column("niqe").fingerprint == before.fingerprint
    assert column("niqe").record["files"] != before.record["files"]


def test_a_metric_without_parameters_has_none_in_its_record(cache):
    for name in ("piqe", "entropy"):
        assert {"files", "parameters"}.isdisjoint(column(name).record)


def test_scores_by_other_parameters_are_not_continued_or_compared(cache, tmp_path):
    save_niqe(cache / NIQE)
    score_paths(["niqe"], "photos", out="base.csv", **OPTIONS).run()
    before = (tmp_path / "base.csv").read_text()
    save_niqe(cache / NIQE, 2.5)
    said = refused(score_paths, ["niqe"], "photos", out="base.csv", resume=True, **OPTIONS)
    assert "'niqe' parameters" in said and f"{NIQE} {hash_file(cache / NIQE)[:8]}" in said
    score_paths(["niqe"], "photos", out="new.csv", **OPTIONS).run()
    assert f"{NIQE} {hash_file(cache / NIQE)[:8]}" in refused(gate, "base.csv", "new.csv")
    assert (tmp_path / "base.csv").read_text() == before
    scales = [pandas.read_csv(name)["scale"][0] for name in ("base.csv", "new.csv")]
    assert scales[0] != scales[1]
    save_niqe(cache / NIQE)
    assert score_paths(["niqe"], "photos", out="base.csv", resume=True, **OPTIONS).tally.unchanged == 2


def test_scores_whose_parameters_were_not_recorded_are_made_again_and_a_line_says_so(cache, caplog):
    save_niqe(cache / NIQE)
    score_paths(["niqe", "entropy"], "photos", out="s.csv", **OPTIONS).run()
    before = pandas.read_csv("s.csv")
    path = cache.parent / "s.csv.provenance.json"
    record = json.loads(path.read_text())
    del record["columns"]["niqe"]["files"], record["columns"]["niqe"]["parameters"]
    path.write_text(json.dumps(record))
    run = score_paths(["niqe", "entropy"], "photos", out="s.csv", resume=True, **OPTIONS)
    assert "does not tell the parameters" in caplog.text
    assert [row.asked for row in run] == [(True, False)] * 2
    pandas.testing.assert_series_equal(pandas.read_csv("s.csv")["niqe"], before["niqe"])
    assert "parameters" in json.loads(path.read_text())["columns"]["niqe"]


def test_reports_name_the_files(cache):
    save_niqe(cache / NIQE)
    save_brisque(cache / BRISQUE)
    for number in range(4):
        save_grey(cache.parent / f"grey/{number}.png", 40 * number + 9, (96, 96))
    (cache.parent / "mos.csv").write_text("image,mos\n" + "".join(f"grey/{n}.png,{n}\n" for n in range(4)))
    page = compare(["niqe", "brisque"], "mos.csv", bootstrap=0, **OPTIONS).report().text("html")
    assert all(name in page and hash_file(cache / name) in page for name in (NIQE, BRISQUE))
    said = table({"a": "photos"}, ["niqe"], **OPTIONS).describe()
    assert f"{NIQE} {hash_file(cache / NIQE)[:8]}" in said
    both = described(build_metrics(["niqe", "brisque"]).columns)["files"]
    assert both == ", ".join(f"{name} {hash_file(cache / name)[:8]}" for name in (NIQE, BRISQUE))


def test_a_process_of_a_run_hashes_nothing_again(cache, monkeypatch):
    save_niqe(cache / NIQE)
    (metric,) = build_metrics(["niqe"]).of_images
    monkeypatch.setattr(parameters, "_hash", lambda numbers: pytest.fail("hashed again"))
    again = replace(metric.description, record=metric.columns[0].record).build(torch.device("cpu"))
    assert again.columns == metric.columns


def test_every_number_of_a_network_counts():
    class Network(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = torch.nn.Linear(2, 2)
            self.norm = torch.nn.BatchNorm1d(2)
            self.linear.weight.data.fill_(1)
            self.linear.bias.data.fill_(1)
            self.computed = torch.ones(3)  # from the weights, perhaps otherwise on another machine

    network = Network()
    before = parameters.hash_parameters(network)
    network.computed += 1
    assert parameters.hash_parameters(network) == before
    hashes = {before}
    for numbers in (network.linear.weight, network.linear.bias, network.norm.running_mean):
        numbers.data.view(-1)[0] += 1
        hashes.add(parameters.hash_parameters(network))
    hashes.add(parameters.hash_parameters(network.bfloat16()))
    assert len(hashes) == 5


def test_numbers_are_found_wherever_an_object_holds_them():
    class Helper:
        def __init__(self):
            self.tables, self.owner = [{"a": np.ones(2)}], self

    class Metric(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.helper = Helper()
            self.function = np.mean
            self.kind = Helper

    metric = Metric()
    before = parameters.hash_parameters(metric)
    metric.helper.tables[0]["a"][1] = 2
    assert before and parameters.hash_parameters(metric) != before
    metric.helper.tables[0]["a"] = np.ones(2, np.float32)
    assert parameters.hash_parameters(metric) not in ("", before)
    metric.helper.tables.clear()
    assert parameters.hash_parameters(metric) == ""
    metric.helper.tables.append(torch.nn.Linear(2, 2))
    assert parameters.hash_parameters(metric)


def test_only_weights_that_are_read_in_the_block_are_noticed(tmp_path):
    for name in ("a.pth", "b.MAT", "c.txt", "later.pth"):
        (tmp_path / name).write_text("x")
    with opened_weights() as paths:
        for name in ("b.MAT", "a.pth", "a.pth", "c.txt"):
            (tmp_path / name).read_bytes()
        (tmp_path / "written.pth").write_text("x")
    (tmp_path / "later.pth").read_bytes()
    assert paths == [tmp_path / "b.MAT", tmp_path / "a.pth"]
