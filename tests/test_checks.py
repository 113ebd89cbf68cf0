"""Options whose wrong value would give a wrong result, or lose something, are refused by name."""

import inspect
import math

import numpy as np
import pytest
import torch
from assertions import refused
from PIL import Image

import clipiqa_pyiqa
from clipiqa_pyiqa import (
    CLIPIQA,
    CLIPIQALoss,
    GamingAlarm,
    gate,
    quality_map,
    read_scores,
    save_prompt_file,
    score_images,
    score_paths,
    weights_at_hand,
)
from clipiqa_pyiqa.options import CLIPIQAOptions
from clipiqa_pyiqa.reward import CLIPIQAReward
from clipiqa_pyiqa.training import Recipe, TrainingOptions, with_options
from clipiqa_pyiqa.workbench.scoring.scorer import Scorer
from clipiqa_pyiqa.workbench.table.protocols import Protocol

OF_METRICS = [
    (CLIPIQA, {"model_type": "clipiqa++"}),
    (CLIPIQA, {"pretrained": "no"}),
    (CLIPIQA, {"quick_gelu": "no"}),
    (CLIPIQA, {"aggregate": "median"}),
    (CLIPIQA, {"precision": "fp8"}),
    (CLIPIQA, {"pos_embedding": "yes"}),
    (CLIPIQA, {"context": "random", "model_type": "clipiqa+"}),
    (CLIPIQALoss, {"form": "square"}),
    (CLIPIQALoss, {"reduction": "std"}),
    (CLIPIQALoss, {"loss_weight": math.nan}),
    (CLIPIQALoss, {"loss_weight": -1.0}),
    (CLIPIQALoss, {"loss_weight": True}),
    (CLIPIQALoss, {"share": math.nan, "beside": "l1"}),
    (CLIPIQALoss, {"crop": 31}),
    (CLIPIQALoss, {"crop": 224.5}),
    (CLIPIQALoss, {"nan": "ignore"}),
    (CLIPIQALoss, {"pretrained": "no"}),
    (CLIPIQALoss, {"local": "no"}),
    (CLIPIQALoss, {"double_backward": 1.0}),
    (CLIPIQALoss, {"aggregate": None}),
    (CLIPIQAReward, {"aggregate": None}),
    (CLIPIQAReward, {"quantile": 0.1}),  # without local
    (CLIPIQAReward, {"quantile": math.nan, "local": True}),
    (CLIPIQAReward, {"quantile": "a tenth", "local": True}),
    (CLIPIQAReward, {"local": "no"}),
    (CLIPIQAReward, {"fidelity": math.inf}),
    (CLIPIQAReward, {"batch_size": 0}),
    (CLIPIQAReward, {"nan": "propagate"}),
]
OF_TRAINING = [
    ("lr", math.nan),
    ("lr", "1e-3"),  # YAML reads 1e-3 as a text
    ("min_lr", -1.0),
    ("epochs", 0),
    ("epochs", 2.5),
    ("epochs", True),
    ("batch_size", 0),
    ("cosine_epochs", 0),
    ("crop", 31),
    ("crop", 2049),
    ("crops", 0),
    ("seed", -1),
    ("sgd", "no"),
]
OF_SCORING = [
    ("batch_size", 0),
    ("batch_size", True),
    ("batch_size", "8"),
    ("workers", 257),
    ("processes", -1),
    ("max_side", 31),
    ("max_side", 512.5),
    ("max_pixels", 1),
    ("apply_exif", "no"),
    ("damaged", "ignore"),
]


@pytest.mark.parametrize("kind, options", OF_METRICS)
def test_options_of_metrics_and_losses_are_refused_by_name(kind, options):
    assert refused(kind, **{"backbone": "mini", **options}).startswith(next(iter(options)))


@pytest.mark.parametrize("name, value", OF_TRAINING)
def test_options_of_training_are_refused_by_name(name, value):
    assert refused(with_options, "plain", **{name: value}).startswith(name)


@pytest.mark.parametrize("name, value", OF_SCORING)
def test_options_of_scoring_are_refused_by_name(name, value):
    assert refused(score_images, CLIPIQA(backbone="mini"), [], **{name: value}).startswith(name)


@pytest.mark.quick
def test_a_loss_takes_larger_crops_than_training():
    assert CLIPIQALoss(backbone="mini", crop=4096).crop == 4096


def test_numbers_of_numpy_are_numbers():
    assert CLIPIQALoss(backbone="mini", crop=np.int64(64), loss_weight=np.float32(0.5)).crop == 64
    assert with_options("plain", epochs=np.int32(3)).epochs == 3


def test_an_array_is_refused_in_a_sentence():
    assert refused(CLIPIQALoss, form=np.array(["nll", "linear"])).startswith("form")


def test_a_learned_context_is_checked():
    for context in ({"n_ctx": 76}, {"n_ctx": True}, {"shared": "no"}, {"init": "zero"}):
        said = refused(CLIPIQA, "clipiqa+", "mini", pretrained=False, context=context)
        assert said.startswith(next(iter(context)))


def test_a_single_text_is_no_list_of_letters(tmp_path):
    for name in ("by", "lower_better", "higher_better", "allow_flag"):
        assert "must be a list" in refused(gate, tmp_path, tmp_path, **{name: "cut"})
    assert "keep must be a list" in refused(score_paths, CLIPIQA(backbone="mini"), tmp_path, keep="caption")
    loss = CLIPIQALoss(backbone="mini")
    assert "judges must be a list" in refused(GamingAlarm, loss, judges="piqe")
    assert "allow_db" in refused(GamingAlarm, loss, judges=[], allow_db=math.nan)


def test_a_gate_accepts_only_what_is_true(tmp_path):
    (tmp_path / "scores.csv").write_text("path,quality\na.png,0.5\n")
    for name in ("allow_new", "allow_resize"):
        assert refused(gate, tmp_path / "scores.csv", tmp_path / "scores.csv", **{name: "no"}).startswith(name)
    assert "unclear must be" in refused(gate, tmp_path, tmp_path, unclear="Warn")


@pytest.mark.quick
def test_no_file_is_replaced_because_of_a_text(tmp_path):
    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    earlier = tmp_path / "scores.csv"
    earlier.write_text("path,score\n")
    for name in ("overwrite", "resume", "drop_vanished"):
        said = refused(score_paths, CLIPIQA(backbone="mini"), tmp_path / "a.png", out=earlier, **{name: "no"})
        assert said == f"{name} must be True or False; got 'no' (str)."
    assert earlier.read_text() == "path,score\n"


def test_pictures_are_checked_before_images_are_scored(tmp_path):
    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    for function in (clipiqa_pyiqa.rank, clipiqa_pyiqa.draw_maps):
        said = refused(function, CLIPIQA(backbone="mini"), tmp_path / "a.png", out=tmp_path / "out", pictures="jpg")
        assert said == "pictures must be one of 'png', 'svg', 'pdf'; got 'jpg'."


def test_maps_are_enlarged_by_factors_from_1_to_8():
    for scale in (0.5, 9, math.nan, True):
        assert "scale" in refused(quality_map, CLIPIQA(backbone="mini"), torch.zeros(1, 3, 64, 64), scale=scale)


def test_a_protocol_has_texts_and_mappings():
    right = {"title": "", "certainty": "code", "source": "", "metrics": {}}
    for name, wrong in {
        "title": 1,
        "metrics": ["psnr"],
        "notes": "one",
        "average": "video",
        "per_picture": "no",
    }.items():
        assert refused(Protocol, "name", **{**right, name: wrong}).startswith(name)


def test_an_unknown_option_is_named_with_what_to_do():
    mini = CLIPIQA(backbone="mini")
    for function, arguments in ((score_images, (mini, [])), (score_paths, (mini, "a.png")), (Scorer, (lambda: mini,))):
        assert "did you mean 'batch_size'?" in refused(function, *arguments, batchsize=1)
        assert "CLIPIQA(backbone='mini')" in refused(function, *arguments, backbone="mini")
    assert "did you mean 'metrics'" in refused(gate, "base.csv", "new.csv", metric="niqe")


def test_arguments_of_another_kind_are_refused_in_a_sentence(tmp_path):
    mini = CLIPIQA(backbone="mini")
    assert "without arguments" in refused(score_paths, lambda image: 0.5, tmp_path)
    assert "a path or an address" in refused(read_scores, None)
    assert "must be a CLIPIQALoss" in refused(GamingAlarm, "quality")
    assert "outputs must be a tensor" in refused(GamingAlarm(CLIPIQALoss(metric=mini), judges=()), 1)
    assert "backbones must be a list" in refused(weights_at_hand, 3)
    assert "such as metric.prompt_learner" in refused(save_prompt_file, mini, tmp_path / "prompts.safetensors")


def test_functions_of_python_name_unknown_options_themselves():
    for kind in (CLIPIQA, CLIPIQALoss, CLIPIQAReward):
        with pytest.raises(TypeError, match="'bakcbone'"):
            kind(bakcbone="mini")


def test_options_that_are_passed_on_are_those_of_the_metric_and_the_recipe():
    of_metric = {name: its for name, its in inspect.signature(CLIPIQA).parameters.items() if name != "prompts"}
    annotations = {name: hint.__forward_arg__ for name, hint in CLIPIQAOptions.__annotations__.items()}
    assert annotations == {name: its.annotation for name, its in of_metric.items()}
    fields = Recipe.__dataclass_fields__.keys() - {"network"}
    context = {"n_ctx", "shared", "init"}
    assert TrainingOptions.__annotations__.keys() == {*fields, *context, *annotations, "prompts"}


def test_help_names_the_options_one_by_one():
    for function in (clipiqa_pyiqa.rank, gate, score_images):
        assert {"device", "max_side", "trust_weights"} <= inspect.signature(function).parameters.keys()
    assert inspect.signature(CLIPIQALoss).parameters["precision"].default == "fp32"
    assert inspect.signature(clipiqa_pyiqa.train).parameters["epochs"].default == 50
