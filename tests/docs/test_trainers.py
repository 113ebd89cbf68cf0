"""What docs/loss.md gives for other trainers, in those trainers' calls. (That all other blocks run: test_blocks.py.)

BasicSR is the real one where it is installed. The others are small copies of their calls, made from their source:
neosr 31c7022 neosr/models/image.py:573, traiNNer-redux 6862931 traiNNer/models/sr_model.py:646,
flow_grpo ac4c86e flow_grpo/rewards.py:361, Flow-Factory a0b2bc5 rewards/loader.py:61.
"""

import importlib.util
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from torch import nn

from clipiqa_pyiqa import CLIPIQA, CLIPIQALoss
from clipiqa_pyiqa.reward import CLIPIQAReward

PAGE = (Path(__file__).parents[2] / "docs/loss.md").read_text(encoding="utf-8")
GREY, COLOUR = 1, 3


@pytest.fixture(autouse=True)
def weights(seeded_weights, monkeypatch):
    monkeypatch.setenv("CLIPIQA_WEIGHTS_DIR", str(seeded_weights("RN50").parent))


def block(heading, language="python"):
    """The first block in a language after a heading or a phrase of the page."""
    found = re.search(rf"^```{language}\n(.*?)^```", PAGE[PAGE.index(heading) :], re.M | re.S)
    assert found is not None
    return found[1]


class Registry(dict):
    """Keeps what is registered by name, as BasicSR's and its forks' registries do."""

    def register(self):
        return lambda thing: self.setdefault(thing.__name__, thing)


def run(code, monkeypatch, **modules):
    """Run a block with stand-ins for a trainer's modules; return its names."""
    for path, module in modules.items():
        parts = path.split("__")
        for end in range(1, len(parts)):
            monkeypatch.setitem(sys.modules, ".".join(parts[:end]), SimpleNamespace(__path__=[]))
        monkeypatch.setitem(sys.modules, ".".join(parts), module)
    names = {"__name__": "pasted"}
    exec(code, names)
    return names


def outputs():
    made = torch.Generator().manual_seed(0)
    output, truth = 0.8 * torch.rand(2, 2, 3, 48, 40, generator=made) + 0.1
    return output.requires_grad_(), truth


def check_weight(total, output):
    """A loss of weight 0.1 pulls at the pixels a tenth as hard as the loss itself, whoever multiplies."""
    found, unit = (torch.autograd.grad(loss, output)[0] for loss in (total, CLIPIQALoss()(output)))
    torch.testing.assert_close(found, 0.1 * unit)


def score_of(rgb):
    return CLIPIQA().eval()(torch.from_numpy(rgb.copy()).permute(2, 0, 1)[None] / 255).item()


@pytest.fixture
def basicsr(monkeypatch):
    """The registries with the page's loss and metric, in the real BasicSR if there is one."""
    if importlib.util.find_spec("basicsr") is None:
        names = SimpleNamespace(LOSS_REGISTRY=Registry(), METRIC_REGISTRY=Registry())
        run(block("### BasicSR"), monkeypatch, basicsr__utils__registry=names)
        return names
    from basicsr.utils import registry

    for each in (registry.LOSS_REGISTRY, registry.METRIC_REGISTRY):
        monkeypatch.setattr(each, "_obj_map", dict(each._obj_map))  # a name can be registered once only
    run(block("### BasicSR"), monkeypatch)
    return SimpleNamespace(LOSS_REGISTRY=registry.LOSS_REGISTRY, METRIC_REGISTRY=registry.METRIC_REGISTRY)


def test_basicsr_adds_two_losses(basicsr):
    output, truth = outputs()
    perceptual, style = basicsr.LOSS_REGISTRY.get("CLIPIQAPerceptualLoss")(loss_weight=0.1)(output, truth)
    assert style is None and perceptual.dim() == 0
    check_weight(perceptual, output)


@pytest.mark.parametrize("shape", [(40, 48, 3), (40, 48)], ids=["BGR", "grey"])
def test_basicsr_validates_what_opencv_holds(basicsr, shape):
    picture = np.random.default_rng(0).integers(256, size=shape, dtype=np.uint8)
    score = basicsr.METRIC_REGISTRY.get("calculate_clipiqa")(img=picture, img2=picture, crop_border=0)
    rgb = picture[:, :, ::-1] if picture.ndim == 3 else np.stack([picture] * 3, axis=2)
    assert isinstance(score, float) and score == pytest.approx(score_of(rgb), abs=1e-6)


@pytest.mark.skipif(importlib.util.find_spec("basicsr") is None, reason="no basicsr-fixed: .ci/contracts installs it")
@pytest.mark.parametrize("channels", [GREY, COLOUR])
def test_five_steps_and_a_validation_of_the_real_basicsr(basicsr, channels, tmp_path):
    from basicsr.models import build_model

    options = yaml.safe_load(block("### BasicSR", "yaml"))
    network = {"type": "MSRResNet", "num_in_ch": channels, "num_out_ch": channels, "num_feat": 8, "num_block": 1}
    options["train"] |= {"pixel_opt": {"type": "L1Loss"}, "optim_g": {"type": "Adam", "lr": 1e-3}}
    options["train"]["scheduler"] = {"type": "MultiStepLR", "milestones": [9]}
    options |= {"model_type": "SRModel", "scale": 2, "num_gpu": 0, "is_train": True, "dist": False, "rank": 0}
    options |= {"path": {}, "name": "contract", "network_g": {**network, "upscale": 2}}
    model = build_model(options)
    made = torch.Generator().manual_seed(0)
    batch = {
        "lq": torch.rand(2, channels, 20, 24, generator=made),
        "gt": torch.rand(2, channels, 40, 48, generator=made),
    }
    start = {name: value.clone() for name, value in model.net_g.state_dict().items()}
    for step in range(5):
        model.feed_data(batch)
        model.optimize_parameters(step)
        assert 0 < model.log_dict["l_percep"] < 0.01  # 0.01 (1 - s)
    assert any(not torch.equal(value, start[name]) for name, value in model.net_g.state_dict().items())

    class Loader(list):
        dataset = SimpleNamespace(opt={"name": "held out"})

    one = {name: images[:1] for name, images in batch.items()}
    model.nondist_validation(Loader([{**one, "lq_path": ["x.png"]}]), 5, None, False)
    shown = model.net_g.eval()(one["lq"]).detach().clamp(0, 1).mul(255).round()[0].expand(3, -1, -1)
    expected = score_of(shown.permute(1, 2, 0).numpy().astype(np.uint8))
    assert model.metric_results["clipiqa"] == pytest.approx(expected, abs=1e-5)


def test_neosr_adds_one_number(monkeypatch):
    names = SimpleNamespace(LOSS_REGISTRY=Registry())
    run(block("### neosr"), monkeypatch, neosr__utils__registry=names)
    output, truth = outputs()
    total = torch.zeros(1)
    total += names.LOSS_REGISTRY["CLIPIQALoss"](loss_weight=0.1)(output.clamp(1 / 255, 1), truth)
    check_weight(total.sum(), output)


def test_trainner_redux_multiplies_by_the_weight_itself(monkeypatch):
    names = SimpleNamespace(LOSS_REGISTRY=Registry(), METRIC_REGISTRY=Registry())
    run(block("### traiNNer"), monkeypatch, traiNNer__utils__registry=names)
    output, truth = outputs()
    loss = names.LOSS_REGISTRY["CLIPIQATrainerLoss"](loss_weight=0.1, prompts="quality")
    check_weight(loss(output, truth) * abs(loss.loss_weight), output)
    picture = np.random.default_rng(0).integers(256, size=(40, 48, 3), dtype=np.uint8)  # RGB: to_bgr=False
    score = names.METRIC_REGISTRY["calculate_clipiqa"](img=picture, img2=picture, device=torch.device("cpu"))
    assert score == pytest.approx(score_of(picture), abs=1e-6)


def test_flow_grpo_calls_a_factory_and_weighs_its_scores(monkeypatch):
    code = block("**flow-grpo**")
    factory = run(code, monkeypatch)["clipiqa_score"]
    assert len(code.splitlines()) < 15
    score = factory(torch.device("cpu")) if "device" in factory.__code__.co_varnames else factory()
    images = torch.rand(3, 3, 48, 40, generator=torch.Generator().manual_seed(0))
    scores, more = score(images, ["a cat"] * 3, [{}] * 3)
    assert more == {} and [2 * each for each in scores] == pytest.approx(
        (2 * CLIPIQAReward(["quality", "sharpness"])(images)).tolist()
    )
    arrays = images.mul(255).round().byte().permute(0, 2, 3, 1).numpy()  # as its own rewards also take
    assert score(arrays, ["a cat"] * 3, [{}] * 3)[0] == pytest.approx(scores, abs=0.5)  # rounded to 8 bits


def test_flow_factory_builds_a_model_from_its_configuration(monkeypatch):
    class Pointwise:
        def __init__(self, config, accelerator):
            self.config, self.device = config, accelerator.device

    code = block("**Flow-Factory**")
    fakes = SimpleNamespace(PointwiseRewardModel=Pointwise, RewardModelOutput=SimpleNamespace)
    made = run(code, monkeypatch, flow_factory__rewards=fakes)["CLIPIQARewardModel"]
    assert len(code.splitlines()) < 15 and issubclass(made, Pointwise)
    config = SimpleNamespace(extra_kwargs={"prompts": ["quality"], "local": True})
    model = made(config=config, accelerator=SimpleNamespace(device=torch.device("cpu")))
    pictures = [
        Image.fromarray(np.random.default_rng(seed).integers(256, size=(64, 48, 3), dtype=np.uint8)) for seed in (0, 1)
    ]
    rewards = model(prompt=["a", "b"], image=pictures).rewards
    assert torch.equal(rewards, CLIPIQAReward("quality", local=True)(pictures)) and rewards.shape == (2,)


def test_verl_omni_scores_one_uint8_image():
    assert "`reward([solution_image]).item()`" in PAGE
    image = torch.randint(256, (3, 48, 40), dtype=torch.uint8)
    reward = CLIPIQAReward()
    assert reward([image]).item() == reward(image[None] / 255).item()


def test_alignprop_takes_a_loss_and_a_reward_for_each_image():
    output, _ = outputs()
    losses = CLIPIQALoss(input_range=(-1, 1), reduction="none", loss_weight=0.1)(2 * output - 1)
    assert losses.shape == (2,) and isinstance(CLIPIQALoss(), nn.Module)
    check_weight(losses.mean(), output)
