"""A public function refuses an argument of a wrong kind, and names it."""

import inspect
from functools import cache
from pathlib import Path

import pytest
import torch
from PIL import Image
from refusal import refused

import clipiqa_pyiqa
from clipiqa_pyiqa import CLIPIQA, reward, torchmetrics

BASES = {"Image", "Shard"}  # of classes of the user's own
NAMES = sorted(set(clipiqa_pyiqa.__all__) - BASES - {"is_active", "__version__"})
PUBLIC = {name: getattr(clipiqa_pyiqa, name) for name in NAMES if not name.endswith("Error")}
PUBLIC |= {
    "Reward": reward.CLIPIQAReward,
    "torchmetrics": torchmetrics.CLIPImageQualityAssessment,
}
METHODS = ("encode_image", "encode_prompts", "load_prompts", "score", "score_map")
RIGHT = {"x": torch.zeros(1, 3, 64, 64), "features": torch.zeros(1, 1024), "methods": ["a=b"], "metrics": "niqe"}
RIGHT |= {"paths": "a.png", "sources": "a.png", "low": "a*", "high": "b*", "votes": "votes.csv"}
MESSAGES = {"x": "(?i)tensor", "data_sets": "data set"}
WRONG = complex(1, 2)  # is of no kind that a function takes


@cache
def mini():
    return CLIPIQA(backbone="mini")


def asked():
    functions = PUBLIC | {name: getattr(CLIPIQA, name) for name in METHODS}
    return [
        pytest.param(name, parameter, id=f"{name}-{parameter}")
        for name, function in functions.items()
        for parameter, its in inspect.signature(function).parameters.items()
        if parameter != "self" and its.kind is not its.VAR_KEYWORD
        # what is no image gets a row with an error, and a gate looks for its runs first
        if (name, parameter) not in (("score_images", "images"), ("gate", "device"), ("gate", "metrics"))
    ]


@pytest.mark.parametrize("name, wrong", asked())
def test_an_argument_of_a_wrong_kind_is_named(name, wrong, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for picture in ("a.png", "b.png"):
        Image.new("RGB", (40, 40)).save(picture)
    Path("votes.csv").write_text("attribute,first,second,choice\nquality,a.png,b.png,first\n")
    function = PUBLIC.get(name) or getattr(mini(), name)
    given = {}
    for parameter, its in inspect.signature(function).parameters.items():
        if its.default is its.empty and its.kind is not its.VAR_KEYWORD:
            given[parameter] = RIGHT.get(parameter, "mini")
    if name == "table":
        given["metrics"] = "niqe"  # optional, since a protocol may name them
    given |= {"metric": mini()} if "metric" in given else {}
    if name == "save_prompt_file":
        given["learner"] = CLIPIQA("clipiqa+", "mini", pretrained=False).prompt_learner
    given |= {"criterion": clipiqa_pyiqa.CLIPIQALoss(backbone="mini")} if "criterion" in given else {}
    with pytest.raises((ValueError, TypeError), match=MESSAGES.get(wrong, wrong.removesuffix("s"))):
        function(**given | {wrong: WRONG})


def test_an_unknown_option_names_the_function_and_what_to_do():
    for name, option, words in [
        ("fit", "backbone", "CLIPIQA(backbone='mini')"),
        ("rank", "batchsize", "'batch_size'"),
        ("gate", "metric", "'metrics'"),
        ("CLIPIQA", "device", ".to("),
        ("CLIPIQA", "data_range", "255"),
        ("CLIPIQALoss", "shair", "'share'"),
        ("Reward", "backbon", "'backbone'"),
    ]:
        said = refused(PUBLIC[name], **{option: 1})
        assert f"{name}() has no option" in said and words in said


def test_help_names_the_options_of_scoring():
    for name in ["rank", "gate", "score_images"]:
        assert {"device", "max_side", "trust_weights"} <= inspect.signature(PUBLIC[name]).parameters.keys()
