"""Odd calls over the public API, thousands with ``--long``: they work, or are refused in our own words.

A call is valid but for one or two arguments, which are any of the odd values below. What fails must be a ``ValueError``
or ``TypeError`` (as all our errors are) of one sentence, raised by a line of this package and not deep inside others.
"""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st
from PIL import Image
from time_limit import time_limit

import clipiqa_pyiqa
from clipiqa_pyiqa import CLIPIQA, CLIPIQALoss
from clipiqa_pyiqa.images.reader import read_image
from clipiqa_pyiqa.prompts.pairs import parse_columns
from clipiqa_pyiqa.reward import CLIPIQAReward

pytestmark = pytest.mark.quick

OURS, HERE = str(Path(clipiqa_pyiqa.__file__).parent), __file__
SIDE = 32


def odd_tensors() -> dict[str, Callable[[], Any]]:
    good = torch.rand(1, 3, SIDE, SIDE)
    return {
        "zero height": lambda: torch.rand(1, 3, 0, SIDE),
        "zero batch": lambda: torch.rand(0, 3, SIDE, SIDE),
        "three dims": lambda: good[0],
        "no dims": lambda: torch.tensor(0.5),
        "grey": lambda: good[:, :1],
        "sparse": good.to_sparse,
        "nested": lambda: torch.nested.nested_tensor([good[0], torch.rand(3, 40, 40)]),
        "float8": lambda: good.to(torch.float8_e4m3fn),
        "half": good.half,
        "bfloat16": good.bfloat16,
        "double": good.double,
        "complex": lambda: good + 1j,
        "8 bit": lambda: (good * 255).byte(),
        "quantised": lambda: torch.quantize_per_tensor(good, 0.1, 0, torch.quint8),
        "meta": lambda: good.to("meta"),
        "NaN": lambda: good * torch.nan,
        "inf": lambda: good / 0,
        "1e18": lambda: good * 1e18,
        "numpy": good.numpy,
        "features": lambda: torch.nn.functional.normalize(torch.randn(2, 512), dim=1),
        "wide features": lambda: torch.nn.functional.normalize(torch.randn(2, 513), dim=1),
        "zero features": lambda: torch.zeros(2, 512),
        "NaN features": lambda: torch.full((2, 512), torch.nan),
    }


def odd_values(folder: Path) -> st.SearchStrategy[Any]:
    plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=300) | st.binary(max_size=9)
    nested = st.lists(plain, max_size=3) | st.tuples(plain, plain) | st.dictionaries(plain, plain, max_size=2)
    files = [folder, folder / "good.png", folder / "loop", str(folder / "loop"), folder / "empty", folder / "text.csv"]
    known: list[Any] = [
        *("x/" * 3000, "~nobody-of-this-name/x", "no such thing", "a\0b", "cpu", "quality", "quality|", "mini"),
        *(["quality", 3], ("a", "a"), {"a": [1]}, [[]], object(), int, len, Ellipsis, range(3), slice(1)),
        *(np.float32(0.5), np.int64(3), np.array([1, 2]), np.array("x"), Path("no/such"), 1e308, 1j, iter([1])),
        *(torch.float32, torch.device("cpu"), Image.new("RGB", (3, 3))),
    ]
    return plain | nested | st.sampled_from([*files, *known])


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Callable[..., Any], dict[str, Any]]]:
    """Name -> a function, and arguments with which it works."""
    folder = tmp_path_factory.mktemp("odd")
    Image.effect_noise((SIDE, SIDE), 50).convert("RGB").save(folder / "good.png")
    (folder / "empty").touch()
    (folder / "text.csv").write_text("path,mos\ngood.png,3\n")
    (folder / "loop").symlink_to("loop")
    good = folder / "good.png"
    plain, loss, reward = CLIPIQA(backbone="mini"), CLIPIQALoss(backbone="mini"), CLIPIQAReward(backbone="mini")
    x = torch.rand(1, 3, SIDE, SIDE)
    features = plain.encode_image(x)
    own = {"prompts": None, "aggregate": "mean"}
    mini = {"backbone": "mini"}
    scoring = {
        **{"device": "cpu", "batch_size": 2, "workers": 1, "apply_exif": True, "max_side": 64, "max_pixels": 4096},
        **{"damaged": "refuse", "out": None, "format": None, "resume": False, "overwrite": False},
    }
    top = {
        "clip_weights": None, "quick_gelu": None, "pos_embedding": False, "precision": "fp32", "template": None,
        "model_type": "clipiqa", "pretrained": True, "pretrained_model_path": None, "context": None,
    }  # fmt: skip

    def rows(paths: Any, prompts: Any, **given: Any) -> list[Any]:
        return list(clipiqa_pyiqa.score_paths(plain, paths, prompts, **given))

    return {
        "CLIPIQA": (CLIPIQA, {**mini, **own, **top}),
        "CLIPIQA()": (lambda x, **given: plain(x, **given), {"x": x, **own}),
        "encode_image": (plain.encode_image, {"x": x}),
        "encode_map": (plain.encode_map, {"x": x}),
        "score_map": (plain.score_map, {"x": x, "prompts": None}),
        "score": (plain.score, {"features": features, **own}),
        "load_prompts": (CLIPIQA("clipiqa+", pretrained=False, **mini).load_prompts, {"path": good}),
        "CLIPIQALoss": (
            lambda **given: CLIPIQALoss(**mini, **given),
            {
                **{"prompts": None, "form": "linear", "loss_weight": 1.0, "reduction": "mean", "prompt_weights": None},
                **{"input_range": (0, 1), "crop": None, "nan": "raise"},
                "double_backward": False,
            },
        ),
        "CLIPIQALoss()": (loss, {"pred": x}),
        "CLIPIQAReward": (lambda **given: CLIPIQAReward(**mini, **given), {"prompts": None, "batch_size": 2}),
        "CLIPIQAReward()": (lambda images: reward(images), {"images": x}),
        "parse_columns": (parse_columns, {"prompts": None, "template": None}),
        "read_image": (
            read_image,
            {"source": good, "apply_exif": True, "max_side": 64, "max_pixels": 4096, "min_side": 1, "damaged": "keep"},
        ),
        "score_paths": (rows, {"paths": [good], "prompts": None, **scoring}),
    }


def attempt(call: Callable[..., Any], given: Mapping[str, Any]) -> None:
    """Call; fails unless the call works, or is refused in our words or by Python itself."""
    try:
        with time_limit(120), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            call(**given)
    except (ValueError, TypeError) as error:
        where = traceback.extract_tb(error.__traceback__)[-1].filename
        if not where.startswith((OURS, HERE)) or str(error).count("\n") > 2:
            raise AssertionError("refused deep inside others, or in several lines") from error


def test_odd_arguments_work_or_are_refused_in_our_words(
    calls: dict[str, tuple[Callable[..., Any], dict[str, Any]]],
    tmp_path: Path,
    times: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    tensors = odd_tensors()
    made = st.sampled_from(list(tensors)).map(lambda name: tensors[name]())
    odd = made | odd_values(Path(str(calls["read_image"][1]["source"])).parent)

    @settings(max_examples=150 * times, deadline=None, database=None, derandomize=True)
    @drawn(st.data(), st.sampled_from(list(calls)))
    def call_oddly(data: st.DataObject, name: str) -> None:
        call, given = calls[name]
        names = data.draw(st.lists(st.sampled_from(list(given)), min_size=1, max_size=2, unique=True))
        attempt(call, {**given, **{argument: data.draw(odd) for argument in names}})

    call_oddly()
