"""bf16 and fp16 on processors that are fast in them and on processors that are not: torch's answers are replaced."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from clipiqa_pyiqa import CLIPIQA, CLIPIQALoss
from clipiqa_pyiqa.scoring.metrics import metric_set
from clipiqa_pyiqa.scoring.score import provenance

Processor = Callable[..., None]


class Arithmetic(TorchDispatchMode):
    """Notes in which dtypes convolutions and matrices are multiplied."""

    def __init__(self):
        super().__init__()
        self.dtypes = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.overloadpacket.__name__ in ("convolution", "mkldnn_convolution", "mm", "addmm", "bmm"):
            self.dtypes |= {arg.dtype for arg in args if isinstance(arg, Tensor)}
        return func(*args, **(kwargs or {}))


@pytest.fixture
def processor(monkeypatch):
    """``processor(True)``: from now on torch says that this one has bf16."""

    def answer(has_bf16, has_avx512=False):
        monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
        monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: has_bf16 or has_avx512)
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: has_bf16)
        monkeypatch.setattr(torch.cpu, "_is_avx512_supported", lambda: has_avx512)

    return answer


@pytest.fixture(params=["mini", "RN50", "ViT-B/32"])
def make(request, seeded_weights):
    backbone = request.param
    options = {} if backbone == "mini" else {"clip_weights": seeded_weights(backbone), "quick_gelu": True}
    return lambda precision: CLIPIQA(backbone=backbone, precision=precision, **options).eval()


@pytest.mark.parametrize(("precision", "has_bf16"), [("bf16", False), ("fp16", False), ("fp16", True)])
def test_a_slow_dtype_is_rounded_to_and_computed_in_fp32(make, processor, precision, has_bf16):
    processor(has_bf16)
    metric, exact = make(precision), make("fp32")
    x = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    with Arithmetic() as seen:
        score = metric(x)
        metric.score_map(x), metric.encode_with_map(x), metric.encode_stages(x)
        for loss in (metric, CLIPIQALoss(metric=metric, local=True)):
            pixels = x.clone().requires_grad_()
            loss(pixels).sum().backward()
            assert pixels.grad.norm() > 0
    assert seen.dtypes == {torch.float32, torch.float64}  # the tower, and the product with the texts
    assert 0 < (score - exact(x)).abs() < 0.03  # weights of 8 bits


def test_bf16_is_computed_in_bf16_where_the_processor_can(make, processor):
    processor(True)
    with Arithmetic() as seen:
        make("bf16").encode_image(torch.rand(1, 3, 64, 96))
    assert torch.bfloat16 in seen.dtypes


def test_metric_and_results_name_the_arithmetic(processor):
    processor(False)
    metric = CLIPIQA(backbone="mini", precision="bf16")
    assert "precision='bf16', cpu_arithmetic='fp32'" in repr(metric)
    assert provenance(metric_set(metric), torch.device("cpu"))["cpu_arithmetic"] == "fp32"
    assert "cpu_arithmetic" not in provenance(metric_set(metric), torch.device("mps"))
    assert "cpu_arithmetic" not in CLIPIQA(backbone="mini").provenance()
    processor(True)
    assert "cpu_arithmetic" not in metric.provenance()
