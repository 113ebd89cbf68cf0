"""Where torch lacks or changes a private function, scores stay."""

import pytest
import torch
from tensors import uniform

CLOSE = 2e-5  # of scores in [0, 1]: plain operations sum in another order
needs_onednn = pytest.mark.skipif(
    not torch.backends.cpu.get_cpu_capability().startswith("AVX"), reason="this processor computes the plain way"
)
BREAK = """
import sys, torch
class Without:
    def __init__(self, whole, name, other=None):
        self.whole, self.name, self.other = whole, name, other
    def __getattr__(self, name):
        if name != self.name:
            return getattr(self.whole, name)
        if self.other is None:
            raise AttributeError(f"no {name}")
        return self.other
def raising(*_):
    raise RuntimeError("it takes other arguments now")
def doubled(operation):
    return lambda *arguments: 2 * operation(*arguments)
"""
SCORE = """
from clipiqa_pyiqa import CLIPIQA
x = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
with torch.no_grad():
    for _ in range(2):  # what is said is said once
        score = CLIPIQA(backbone="mini")(x)
print(score.item())
"""


@pytest.fixture(scope="module")
def expected(metric):
    with torch.no_grad():
        return metric(uniform(1, 3, 64, 64)).item()


@pytest.fixture
def scored(forked_bare, tmp_path, expected):
    """Scores in a process that breaks something first."""

    def run(code):
        done = forked_bare.run("", tmp_path, code=BREAK + code + SCORE)
        assert done.code == 0, done.err
        assert float(done.out) == pytest.approx(expected, abs=CLOSE)

    return run


@needs_onednn
@pytest.mark.parametrize("how", ["missing", "raising", "doubled"])
@pytest.mark.slow
def test_weights_are_not_packed_if_the_convolution_is_not_as_expected(scored, how):
    operation = "torch.ops.mkldnn._convolution_pointwise"
    function = "raising" if how == "raising" else f"doubled({operation}.default)"
    other = "None" if how == "missing" else f"Without(None, 'default', {function})"
    scored(f"torch.ops.mkldnn = Without(torch.ops.mkldnn, '_convolution_pointwise', {other})\n")


@needs_onednn
@pytest.mark.parametrize("how", ["missing", "raising", "doubled"])
@pytest.mark.slow
def test_weights_are_not_packed_if_they_cannot_be_ordered(scored, how):
    name = "torch._C._nn.mkldnn_reorder_conv2d_weight"
    code = {"missing": f"del {name}", "raising": f"{name} = raising", "doubled": f"{name} = doubled({name})"}[how]
    scored(code + "\n")


@pytest.mark.slow
def test_a_mode_that_torch_does_not_switch_off(scored):
    scored("sys.modules['torch.utils._python_dispatch'] = object()\n")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ops.mkldnn._is_mkldnn_bf16_supported", "cpu._is_avx512_supported"])
def test_bf16_is_computed_in_fp32_where_torch_does_not_say_how_fast_it_is(forked_bare, tmp_path, name):
    place, _, function = name.rpartition(".")
    code = f"""
torch.ops.mkldnn._is_mkldnn_bf16_supported = lambda: True
torch.{place} = Without(torch.{place}, {function!r})
from clipiqa_pyiqa import CLIPIQA
print(CLIPIQA(backbone="mini", precision="bf16").provenance()["cpu_arithmetic"])
"""
    done = forked_bare.run("", tmp_path, code=BREAK + code)
    assert done.out.split() == ["fp32"], done.err
