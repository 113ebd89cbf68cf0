"""Odd calls over the public API, thousands with ``--long``: they work, or are refused in our own words.

A call is valid but for one or two arguments, which are any of the odd values below. What fails must be a ``ValueError``
or ``TypeError`` (as all our errors are) of one sentence, raised by a line of this package and not deep inside others.
"""

import inspect
import traceback
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st
from PIL import Image
from time_limit import time_limit

import clipiqa_pyiqa
from clipiqa_pyiqa import CLIPIQA, CLIPIQALoss, score_paths
from clipiqa_pyiqa.images.reader import read_image
from clipiqa_pyiqa.prompts.pairs import parse_columns
from clipiqa_pyiqa.reward import CLIPIQAReward

pytestmark = pytest.mark.quick

OURS, HERE = str(Path(clipiqa_pyiqa.__file__).parent), __file__
SIDE = 32


def odd_tensors():
    good, features = torch.rand(1, 3, SIDE, SIDE), torch.nn.functional.normalize(torch.randn(2, 513), dim=1)
    return [
        *(good[:, :, :0], good[:0], good[0], good[:, :1], torch.tensor(0.5), good.numpy()),
        *(good.to_sparse(), good.to("meta"), torch.nested.nested_tensor([good[0], torch.rand(3, 40, 40)])),
        *(good.to(dtype) for dtype in (torch.float8_e4m3fn, torch.half, torch.double, torch.complex64, torch.uint8)),
        torch.quantize_per_tensor(good, 0.1, 0, torch.quint8),
        *(good * torch.nan, good / 0, good * 1e18),
        *(features, features[:, :512], torch.zeros(2, 512), torch.full((2, 512), torch.nan)),
    ]


def odd_values(folder):
    plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=300) | st.binary(max_size=9)
    nested = st.lists(plain, max_size=3) | st.tuples(plain, plain) | st.dictionaries(plain, plain, max_size=2)
    files = [folder, folder / "good.png", folder / "loop", str(folder / "loop"), folder / "empty", folder / "text.csv"]
    known = [
        *("x/" * 3000, "~nobody-of-this-name/x", "no such thing", "a\0b", "cpu", "quality", "quality|", "mini"),
        *(["quality", 3], ("a", "a"), {"a": [1]}, [[]], object(), int, len, Ellipsis, range(3), slice(1)),
        *(np.float32(0.5), np.int64(3), np.array([1, 2]), np.array("x"), Path("no/such"), 1e308, 1j, iter([1])),
        *(torch.float32, torch.device("cpu"), Image.new("RGB", (3, 3))),
    ]
    return plain | nested | st.sampled_from([*files, *known])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("odd")
    Image.effect_noise((SIDE, SIDE), 50).convert("RGB").save(folder / "good.png")
    (folder / "empty").touch()
    (folder / "text.csv").write_text("path,mos\ngood.png,3\n")
    (folder / "loop").symlink_to("loop")
    return folder


@pytest.fixture(scope="module")
def calls(folder, metric):
    """Functions, and arguments with which each works beside its defaults."""
    x, good = torch.rand(1, 3, SIDE, SIDE), folder / "good.png"
    reading = {"apply_exif": True, "max_side": 64, "max_pixels": 4096, "damaged": "keep"}
    return [
        (CLIPIQA, {"backbone": "mini"}),
        (metric.forward, {"x": x}),
        (metric.encode_image, {"x": x}),
        (metric.encode_map, {"x": x}),
        (metric.score_map, {"x": x}),
        (metric.score, {"features": metric.encode_image(x)}),
        (CLIPIQA("clipiqa+", pretrained=False, backbone="mini").load_prompts, {"path": good}),
        (partial(CLIPIQALoss, backbone="mini"), {}),
        (CLIPIQALoss(backbone="mini").forward, {"pred": x}),
        (partial(CLIPIQAReward, backbone="mini"), {}),
        (CLIPIQAReward(backbone="mini"), {"images": x}),
        (parse_columns, {}),
        (read_image, {"image": good, **reading}),
        (partial(score_paths, metric), {"paths": [good], "device": "cpu", "batch_size": 2, "workers": 1, **reading}),
    ]


def attempt(call, given):
    """Call; fails unless the call works, or is refused in our words or by Python itself."""
    try:
        with time_limit(120), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = call(**given)
            assert not isinstance(found, Iterator) or list(found)
    except (ValueError, TypeError) as error:
        where = traceback.extract_tb(error.__traceback__)[-1].filename
        if not where.startswith((OURS, HERE)) or str(error).count("\n") > 2:
            raise AssertionError("refused deep inside others, or in several lines") from error


def test_odd_arguments_work_or_are_refused_in_our_words(calls, folder, tmp_path, times, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    odd = st.sampled_from(odd_tensors()) | odd_values(folder)

    @settings(max_examples=150 * times, deadline=None, database=None, derandomize=True)
    @drawn(st.data(), st.sampled_from(calls))
    def call_oddly(data, call):
        function, given = call
        names = {*given, *inspect.signature(function).parameters} - {"options"}
        changed = data.draw(st.lists(st.sampled_from(sorted(names)), min_size=1, max_size=2, unique=True))
        attempt(function, {**given, **{name: data.draw(odd) for name in changed}})

    call_oddly()
