"""What docs/loss.md gives for other trainers, in those trainers' calls. (That all other blocks run: test_blocks.py.)

BasicSR trains where it is installed. The others are small copies of their calls, made from their source:
neosr 31c7022 neosr/models/image.py:573, traiNNer-redux 6862931 traiNNer/models/sr_model.py:646,
flow_grpo ac4c86e flow_grpo/rewards.py:361, Flow-Factory a0b2bc5 rewards/loader.py:61, KAIR fc1732f
models/model_gan.py:218.
"""

import re
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from photos import photo_like
from PIL import Image
from pyiqa.losses import build_loss
from tensors import uniform

from clipiqa_pyiqa import CLIPIQA, CLIPIQAReward

PAGE = (Path(__file__).parents[2] / "docs/loss.md").read_text(encoding="utf-8")
PICTURE = np.random.default_rng(0).integers(256, size=(64, 48, 3), dtype=np.uint8)


@pytest.fixture(autouse=True)
def weights(seeded_weights, monkeypatch):
    monkeypatch.setenv("CLIPIQA_WEIGHTS_DIR", str(seeded_weights("RN50").parent))


def block(heading, language="python"):
    """The first block in a language after a heading or a phrase of the page."""
    found = re.search(rf"^```{language}\n(.*?)^```", PAGE[PAGE.index(heading) :], re.M | re.S)
    assert found is not None
    return found[1]


def run(heading, **given):
    """Run a block; return its names."""
    names = {"__name__": "pasted", **given}
    exec(block(heading), names)
    return names


@pytest.fixture
def registered(monkeypatch):
    """A function that runs a block with a stand-in for its trainer's registries, and returns what is registered."""

    def get(heading, module):
        found = {}
        registry = SimpleNamespace(register=lambda: lambda thing: found.setdefault(thing.__name__, thing))
        monkeypatch.setitem(sys.modules, module, SimpleNamespace(LOSS_REGISTRY=registry, METRIC_REGISTRY=registry))
        run(heading)
        return found

    return get


@pytest.fixture
def output():
    return photo_like(48, 40, 2).requires_grad_()


@pytest.fixture
def clean(output):
    return output.detach().flip(-1)


def check_share(total, output, clean):
    """The loss pulls at the pixels with a tenth of the pixel loss's strength, whoever multiplies."""
    pixel = torch.nn.functional.l1_loss(output, clean)
    found, expected = (torch.autograd.grad(loss, output, retain_graph=True)[0] for loss in (total, pixel))
    assert found.norm().item() == pytest.approx(0.1 * expected.norm().item(), rel=1e-4)


def score_of(rgb):
    return CLIPIQA().eval()(torch.from_numpy(rgb.copy()).permute(2, 0, 1)[None] / 255).item()


def test_pyiqa_builds_the_loss_of_the_page(output, clean):
    criterion = build_loss(yaml.safe_load(block("## In a trainer", "yaml"))["quality_opt"])
    assert criterion(output, clean).isfinite() and criterion.local and criterion.last_weight > 0


def test_basicsr_adds_two_losses(registered, output, clean):
    loss = registered("### BasicSR", "basicsr.utils.registry")["CLIPIQAPerceptualLoss"](share=0.1, beside="l1")
    perceptual, style = loss(output, clean)
    assert style is None and perceptual.dim() == 0
    check_share(perceptual, output, clean)


@pytest.mark.parametrize("picture", [PICTURE, PICTURE[:, :, 0]])
def test_basicsr_validates_what_opencv_holds(registered, picture):
    metric = registered("### BasicSR", "basicsr.utils.registry")["calculate_clipiqa"]
    rgb = picture[:, :, ::-1] if picture.ndim == 3 else np.stack([picture] * 3, axis=2)
    assert metric(img=picture, img2=picture, crop_border=0) == pytest.approx(score_of(rgb), abs=1e-6)


@pytest.fixture(scope="module")
def basicsr():
    """The real one, with the page's loss and metric, which can be registered once only."""
    pytest.importorskip("basicsr", reason="no basicsr-fixed: .ci/contracts installs it")
    run("### BasicSR")


BASICSR = """
model_type: SRModel
scale: 2
num_gpu: 0
is_train: true
dist: false
rank: 0
path: {}
name: contract
network_g: {type: MSRResNet, num_in_ch: CHANNELS, num_out_ch: CHANNELS, num_feat: 8, num_block: 1, upscale: 2}
train:
  pixel_opt: {type: L1Loss}
  optim_g: {type: Adam, lr: 1.0e-3}
  scheduler: {type: MultiStepLR, milestones: [9]}
"""


@pytest.mark.usefixtures("basicsr")
@pytest.mark.parametrize("channels", [1, 3])
def test_five_steps_and_a_validation_of_the_real_basicsr(channels):
    from basicsr.models import build_model

    options = yaml.safe_load(block("### BasicSR", "yaml"))
    added = yaml.safe_load(BASICSR.replace("CHANNELS", str(channels)))
    options |= {**added, "train": options["train"] | added["train"]}
    model = build_model(options)
    batch = {"lq": uniform(1, channels, 20, 24), "gt": uniform(1, channels, 40, 48)}
    start = model.net_g.conv_last.weight.clone()
    for step in range(5):
        model.feed_data(batch)
        model.optimize_parameters(step)
        assert 0 < model.log_dict["l_percep"] < model.cri_perceptual.last_weight  # weight (1 - s)
    assert not torch.equal(model.net_g.conv_last.weight, start)

    class Loader(list):
        dataset = SimpleNamespace(opt={"name": "held out"})

    model.nondist_validation(Loader([{**batch, "lq_path": ["x.png"]}]), 5, None, False)
    shown = model.net_g.eval()(batch["lq"]).detach().clamp(0, 1).mul(255).round()[0].expand(3, -1, -1)
    expected = score_of(shown.permute(1, 2, 0).numpy().astype(np.uint8))
    assert model.metric_results["clipiqa"] == pytest.approx(expected, abs=1e-5)


def test_neosr_adds_one_number(registered, output, clean):
    loss = registered("### neosr", "neosr.utils.registry")["CLIPIQALoss"](share=0.1, beside="l1")
    total = torch.zeros(1)
    total += loss(output.clamp(1 / 255, 1), clean)
    check_share(total.sum(), output, clean)


@pytest.mark.parametrize("weight, share", [(1, 0.1), (0.5, 0.2)])
def test_trainner_redux_multiplies_by_the_weight_itself(registered, output, clean, weight, share):
    found = registered("### traiNNer", "traiNNer.utils.registry")
    loss = found["CLIPIQATrainerLoss"](loss_weight=weight, prompts="quality", share=share, beside="l1")
    check_share(loss(output, clean) * abs(loss.loss_weight), output, clean)
    score = found["calculate_clipiqa"](img=PICTURE, img2=PICTURE, device=torch.device("cpu"))
    assert score == pytest.approx(score_of(PICTURE), abs=1e-6)  # RGB: to_bgr=False


def test_kair_has_one_loss(output, clean):
    model = SimpleNamespace(F_lossfn=torch.nn.L1Loss())
    run("### KAIR", model=model)
    total = model.F_lossfn(output, clean)
    assert total > torch.nn.functional.l1_loss(output, clean)
    total.backward()
    assert output.grad.isfinite().all()


def test_flow_grpo_calls_a_factory_for_floats_and_for_bytes(output):
    score = run("**flow-grpo**")["clipiqa_score"](torch.device("cpu"))
    scores, more = score(output.detach(), ["a cat"] * 2, [{}] * 2)
    assert more == {} and scores == pytest.approx(CLIPIQAReward(["quality", "sharpness"])(output.detach()).tolist())
    arrays = output.detach().mul(255).round().byte().permute(0, 2, 3, 1).numpy()  # as its own rewards also take
    assert score(arrays, ["a cat"] * 2, [{}] * 2)[0] == pytest.approx(scores, abs=0.5)  # rounded to 8 bits


def test_flow_factory_builds_a_model_from_its_configuration(monkeypatch):
    class Pointwise:
        def __init__(self, config, accelerator):
            self.device = accelerator.device

    fakes = SimpleNamespace(PointwiseRewardModel=Pointwise, RewardModelOutput=SimpleNamespace)
    monkeypatch.setitem(sys.modules, "flow_factory.rewards", fakes)
    config = SimpleNamespace(extra_kwargs={"prompts": ["quality"], "local": True})
    accelerator = SimpleNamespace(device=torch.device("cpu"))
    model = run("**Flow-Factory**")["CLIPIQARewardModel"](config=config, accelerator=accelerator)
    pictures = [Image.fromarray(PICTURE), Image.fromarray(255 - PICTURE)]
    rewards = model(prompt=["a", "b"], image=pictures).rewards
    assert torch.equal(rewards, CLIPIQAReward("quality", local=True)(pictures)) and rewards.shape == (2,)
