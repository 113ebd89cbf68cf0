"""What type checkers see: signatures that no untyped decorator hides, and options as the values that they may have."""

from typing import get_args, get_type_hints

import pytest
from assertions import refused

from clipiqa_pyiqa import CLIPIQA, CLIPIQALoss

pytestmark = pytest.mark.quick


def values(hint):
    """Every value in a union of Literals."""
    return {value for part in get_args(hint) for value in (get_args(part) or [part])}


def test_options_are_literals_and_nothing_else_is_taken():
    for function, option, known in [
        (CLIPIQALoss, "form", {"linear", "nll", "margin"}),
        (CLIPIQALoss, "reduction", {"mean", "sum", "none"}),
        (CLIPIQALoss, "nan", {"raise", "propagate"}),
        (CLIPIQA, "precision", {"fp32", "bf16", "fp16", "fp64"}),
        (CLIPIQA, "aggregate", {"mean", type(None)}),
        (CLIPIQA, "model_type", {"clipiqa", "clipiqa+", "clipiqa+_rn50_512", "clipiqa+_vitL14_512"}),
        (CLIPIQA, "pos_embedding", {"none", "interpolate", "fixed", bool, type(None)}),
    ]:
        assert values(get_type_hints(function.__init__)[option]) == known
        refused(function, **{option: "nonsense", "backbone": "mini"})
