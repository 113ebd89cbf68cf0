"""bf16 and fp16 on this processor, and on one without bf16, as which torch lets it pass."""

import pytest
import torch
from photos import photo_like
from tensors import Operations

from clipiqa_pyiqa import CLIPIQA, CLIPIQALoss
from clipiqa_pyiqa.clip.arithmetic import is_slow_on_cpu
from clipiqa_pyiqa.workbench.metrics.building import build_metrics


@pytest.fixture
def without_bf16(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
        yield patch.undo


def multiplied(seen):
    """The dtypes in which convolutions and matrices were multiplied."""
    products = ("convolution", "mkldnn_convolution", "mm", "addmm", "bmm")
    return set().union(*(dtypes for name, dtypes in seen.calls if name in products))


@pytest.mark.parametrize("backbone", ["mini", "RN50", "ViT-B/32"])
@pytest.mark.parametrize("precision", ["bf16", "fp16"])
@pytest.mark.slow
def test_a_slow_dtype_is_rounded_to_and_computed_in_fp32(make, backbone, without_bf16, precision):
    if precision == "fp16":  # which is slow everywhere
        without_bf16()
    metric = make(backbone, precision=precision)
    x = photo_like(64, 96)
    with Operations() as seen:
        score = metric(x)
        metric.score_map(x), metric.encode_with_map(x), metric.encode_stages(x)
        for loss in (metric, CLIPIQALoss(metric=metric, local=True)):
            pixels = x.clone().requires_grad_()
            loss(pixels).sum().backward()
            assert pixels.grad.norm() > 0
    assert multiplied(seen) == {torch.float32, torch.float64}  # the tower, and the product with the texts
    assert 0 < (score - make(backbone)(x)).abs() < 0.03  # weights of 8 bits


@pytest.mark.skipif(is_slow_on_cpu(torch.bfloat16), reason="this processor is slow in bf16")
@pytest.mark.parametrize("backbone", ["mini", "RN50", "ViT-B/32"])
def test_bf16_is_computed_in_bf16_where_the_processor_can(make, backbone):
    with Operations() as seen:
        make(backbone, precision="bf16").encode_image(photo_like(64, 96).requires_grad_())
    assert torch.bfloat16 in multiplied(seen)


def test_metric_and_results_name_the_arithmetic(without_bf16):
    metric = CLIPIQA(backbone="mini", precision="bf16")
    assert "precision='bf16', cpu_arithmetic='fp32'" in repr(metric)
    assert build_metrics(metric).columns[0].record["cpu_arithmetic"] == "fp32"
    assert "cpu_arithmetic" not in build_metrics(metric, device="mps").columns[0].record
    assert "cpu_arithmetic" not in CLIPIQA(backbone="mini").provenance()
    without_bf16()
    assert ("cpu_arithmetic" in metric.provenance()) == is_slow_on_cpu(torch.bfloat16)
