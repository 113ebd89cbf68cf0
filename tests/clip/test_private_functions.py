"""Where torch lacks or changes a private function, scores stay, and a line in the log says what is slower."""

import pytest
import torch
from tensors import uniform

CLOSE = 2e-5  # of scores in [0, 1]: plain operations sum in another order
needs_onednn = pytest.mark.skipif(
    not torch.backends.cpu.get_cpu_capability().startswith("AVX"), reason="this processor computes the plain way"
)
PACKING = {  # operation of torch.ops.mkldnn -> its overload that is called
    "_linear_pointwise": "default",
    "_convolution_pointwise": "default",
    "_convolution_pointwise_": "binary",
    "_reorder_linear_weight": "",
    "_get_mkldnn_serialized_md": "",
}
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
UNTOLD = """
whole = torch._C.{0}
del torch._C.{0}
import clipiqa_pyiqa.clip.gradient
torch._C.{0} = whole  # which len() of a tensor takes, too
"""


@pytest.fixture(scope="module")
def expected(metric):
    with torch.no_grad():
        return metric(uniform(1, 3, 64, 64)).item()


@pytest.fixture
def said(forked_bare, tmp_path, expected):
    """What a process says that breaks something and then scores."""

    def run(code):
        done = forked_bare.run("", tmp_path, code=BREAK + code + SCORE)
        assert done.code == 0, done.err
        assert float(done.out) == pytest.approx(expected, abs=CLOSE)
        return done.err

    return run


@needs_onednn
@pytest.mark.parametrize(
    "name, how",
    [(name, how) for name in PACKING for how in ("missing", "raising", "doubled")][:-1],  # no number is doubled there
)
@pytest.mark.slow
def test_weights_are_not_packed_if_an_operation_is_not_as_expected(said, name, how):
    operation = f"torch.ops.mkldnn.{name}"
    overload = PACKING[name]
    if how == "missing":
        other = "None"
    else:
        function = "raising" if how == "raising" else f"doubled({operation}{overload and '.' + overload})"
        other = f"Without(None, {overload!r}, {function})" if overload else function
    message = said(f"torch.ops.mkldnn = Without(torch.ops.mkldnn, {name!r}, {other})\n")
    assert message.count("packed weights of torch.float32") == 1 and "scores on the CPU take longer" in message


@needs_onednn
@pytest.mark.parametrize("how", ["missing", "raising", "doubled"])
@pytest.mark.slow
def test_weights_are_not_packed_if_they_cannot_be_ordered(said, how):
    name = "torch._C._nn.mkldnn_reorder_conv2d_weight"
    code = {"missing": f"del {name}", "raising": f"{name} = raising", "doubled": f"{name} = doubled({name})"}[how]
    assert said(code + "\n").count("packed weights of torch.float32") == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "break_it, named",
    [
        ("del torch._C._are_functorch_transforms_active", "torch._C._are_functorch_transforms_active"),
        ("del torch.autograd.forward_ad._current_level", "torch.autograd.forward_ad._current_level"),
        (UNTOLD.format("_get_tracing_state"), "torch._C._get_tracing_state"),
        (UNTOLD.format("_set_tracing_state"), "torch._C._set_tracing_state"),
        ("sys.modules['torch.utils._python_dispatch'] = object()", "_disable_current_modes"),
    ],
)
def test_a_state_that_torch_does_not_tell(said, break_it, named):
    assert said(break_it + "\n").count(named) == 1


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
    assert done.out.split() == ["fp32"] and "whether this CPU is fast in bf16" in done.err, done.err
