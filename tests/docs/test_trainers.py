"""What docs/loss.md gives for other trainers, in those trainers' calls. (That all other blocks run: test_blocks.py.)

BasicSR trains where it is installed. The others are small copies of their calls, made from their source:
neosr 31c7022 neosr/models/image.py:573, traiNNer-redux 6862931 traiNNer/models/sr_model.py:646,
flow_grpo ac4c86e flow_grpo/rewards.py:361, Flow-Factory a0b2bc5 rewards/loader.py:61,
AlignProp b22918a alignprop_trainer.py:120.
"""

import re
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from clipiqa_pyiqa import CLIPIQA, CLIPIQALoss
from clipiqa_pyiqa.reward import CLIPIQAReward

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


def run(heading):
    """Run a block; return its names."""
    names = {"__name__": "pasted"}
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
    return (0.8 * torch.rand(2, 3, 48, 40, generator=torch.Generator().manual_seed(0)) + 0.1).requires_grad_()


def check_weight(total, output):
    """A loss of weight 0.1 pulls at the pixels a tenth as hard as the loss itself, whoever multiplies."""
    found, unit = (torch.autograd.grad(loss, output)[0] for loss in (total, CLIPIQALoss()(output)))
    torch.testing.assert_close(found, 0.1 * unit)


def score_of(rgb):
    return CLIPIQA().eval()(torch.from_numpy(rgb.copy()).permute(2, 0, 1)[None] / 255).item()


def test_basicsr_adds_two_losses(registered, output):
    loss = registered("### BasicSR", "basicsr.utils.registry")["CLIPIQAPerceptualLoss"](loss_weight=0.1)
    perceptual, style = loss(output, output)
    assert style is None and perceptual.dim() == 0
    check_weight(perceptual, output)


@pytest.mark.parametrize("picture", [PICTURE, PICTURE[:, :, 0]], ids=["BGR", "grey"])
def test_basicsr_validates_what_opencv_holds(registered, picture):
    metric = registered("### BasicSR", "basicsr.utils.registry")["calculate_clipiqa"]
    rgb = picture[:, :, ::-1] if picture.ndim == 3 else np.stack([picture] * 3, axis=2)
    assert metric(img=picture, img2=picture, crop_border=0) == pytest.approx(score_of(rgb), abs=1e-6)


@pytest.fixture(scope="module")
def basicsr():
    """The real one, with the page's loss and metric, which can be registered once only."""
    pytest.importorskip("basicsr", reason="no basicsr-fixed: .ci/contracts installs it")
    run("### BasicSR")


@pytest.mark.usefixtures("basicsr")
@pytest.mark.parametrize("channels", [1, 3], ids=["grey", "colour"])
def test_five_steps_and_a_validation_of_the_real_basicsr(channels):
    from basicsr.models import build_model

    options = yaml.safe_load(block("### BasicSR", "yaml"))
    network = {"type": "MSRResNet", "num_in_ch": channels, "num_out_ch": channels, "num_feat": 8, "num_block": 1}
    options["train"] |= {"pixel_opt": {"type": "L1Loss"}, "optim_g": {"type": "Adam", "lr": 1e-3}}
    options["train"]["scheduler"] = {"type": "MultiStepLR", "milestones": [9]}
    options |= {"model_type": "SRModel", "scale": 2, "num_gpu": 0, "is_train": True, "dist": False, "rank": 0}
    options |= {"path": {}, "name": "contract", "network_g": {**network, "upscale": 2}}
    model = build_model(options)
    made = torch.Generator().manual_seed(0)
    batch = {"lq": torch.rand(1, channels, 20, 24, generator=made), "gt": torch.rand(1, channels, 40, 48)}
    start = model.net_g.conv_last.weight.clone()
    for step in range(5):
        model.feed_data(batch)
        model.optimize_parameters(step)
        assert 0 < model.log_dict["l_percep"] < 0.01  # 0.01 (1 - s)
    assert not torch.equal(model.net_g.conv_last.weight, start)

    class Loader(list):
        dataset = SimpleNamespace(opt={"name": "held out"})

    model.nondist_validation(Loader([{**batch, "lq_path": ["x.png"]}]), 5, None, False)
    shown = model.net_g.eval()(batch["lq"]).detach().clamp(0, 1).mul(255).round()[0].expand(3, -1, -1)
    expected = score_of(shown.permute(1, 2, 0).numpy().astype(np.uint8))
    assert model.metric_results["clipiqa"] == pytest.approx(expected, abs=1e-5)


def test_neosr_adds_one_number(registered, output):
    loss = registered("### neosr", "neosr.utils.registry")["CLIPIQALoss"](loss_weight=0.1)
    total = torch.zeros(1)
    total += loss(output.clamp(1 / 255, 1), output)
    check_weight(total.sum(), output)


def test_trainner_redux_multiplies_by_the_weight_itself(registered, output):
    found = registered("### traiNNer", "traiNNer.utils.registry")
    loss = found["CLIPIQATrainerLoss"](loss_weight=0.1, prompts="quality")
    check_weight(loss(output, output) * abs(loss.loss_weight), output)
    score = found["calculate_clipiqa"](img=PICTURE, img2=PICTURE, device=torch.device("cpu"))
    assert score == pytest.approx(score_of(PICTURE), abs=1e-6)  # RGB: to_bgr=False


def test_flow_grpo_calls_a_factory_for_floats_and_for_bytes(output):
    assert block("**flow-grpo**").count("\n") < 15
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
    assert block("**Flow-Factory**").count("\n") < 15
    config = SimpleNamespace(extra_kwargs={"prompts": ["quality"], "local": True})
    accelerator = SimpleNamespace(device=torch.device("cpu"))
    model = run("**Flow-Factory**")["CLIPIQARewardModel"](config=config, accelerator=accelerator)
    pictures = [Image.fromarray(PICTURE), Image.fromarray(255 - PICTURE)]
    rewards = model(prompt=["a", "b"], image=pictures).rewards
    assert torch.equal(rewards, CLIPIQAReward("quality", local=True)(pictures)) and rewards.shape == (2,)


def test_verl_omni_scores_one_uint8_image():
    assert "`reward([solution_image]).item()`" in PAGE
    image = torch.from_numpy(PICTURE).permute(2, 0, 1)
    reward = CLIPIQAReward()
    assert reward([image]).item() == reward(image[None] / 255).item()


def test_alignprop_takes_a_loss_for_each_image(output):
    losses = CLIPIQALoss(input_range=(-1, 1), reduction="none", loss_weight=0.1)(2 * output - 1)
    assert losses.shape == (2,)
    check_weight(losses.mean(), output)
