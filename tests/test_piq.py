"""piq's interface: its arguments and results, with our scores and a gradient that piq's has not."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch

import clipiqa_pyiqa
from clipiqa_pyiqa.errors import CLIPIQAError, ImageError
from clipiqa_pyiqa.piq import CLIPIQA

pytestmark = pytest.mark.quick

BYTES = torch.randint(256, (3, 3, 64, 80), generator=torch.Generator().manual_seed(5))
OURS = clipiqa_pyiqa.CLIPIQA(backbone="mini").eval()


@pytest.mark.parametrize("as_given", [torch.Tensor.byte, torch.Tensor.float, torch.Tensor.double, torch.Tensor.long])
def test_scores_are_ours(as_given: Any) -> None:
    images = as_given(BYTES)
    found = CLIPIQA(data_range=255, backbone="mini")(images)
    assert found.shape == (3, 1)
    assert torch.equal(found, OURS(images / 255))


def test_range_of_one_is_the_default() -> None:
    assert torch.equal(CLIPIQA(backbone="mini")(BYTES / 255), OURS(BYTES / 255))


def test_gradient_reaches_the_pixels_on_their_scale() -> None:
    x, y = (BYTES / 255).requires_grad_(), BYTES.float().requires_grad_()
    (1 - CLIPIQA(backbone="mini")(x)).sum().backward()
    (1 - CLIPIQA(data_range=255, backbone="mini")(y)).sum().backward()
    assert x.grad.abs().sum() > 0 and torch.allclose(x.grad / 255, y.grad, rtol=1e-4, atol=1e-9)  # fp32 sums


def test_options_are_ours() -> None:
    layer = CLIPIQA(backbone="mini", prompts="sharpness")
    assert torch.equal(layer(BYTES / 255), OURS(BYTES / 255, prompts="sharpness"))
    assert layer.state_dict() == {} and not list(layer.parameters())


@pytest.mark.parametrize("data_range", [0, -1, True, "255", None, float("nan")])
def test_ranges_that_are_none(data_range: Any) -> None:
    with pytest.raises(CLIPIQAError, match="data_range must be"):
        CLIPIQA(data_range=data_range, backbone="mini")


def test_images_that_cannot_be_scored() -> None:
    layer = CLIPIQA(backbone="mini")
    with pytest.raises(ImageError, match="must be RGB"):
        layer(BYTES[0])
    with pytest.raises(ImageError, match="NaN"):
        layer(torch.full((1, 3, 64, 64), torch.nan))


def test_signature_is_piqs() -> None:
    """piq's takes data_range and x_input; what else we take is by keyword."""
    piq = pytest.importorskip("piq", reason="needs piq")
    for name in ("__init__", "forward"):
        theirs, own = (inspect.signature(getattr(kind, name)).parameters for kind in (piq.CLIPIQA, CLIPIQA))
        assert list(own)[: len(theirs)] == list(theirs)
        assert all(own[each].default == theirs[each].default for each in theirs)
