"""Training: cached equals image-based, hidden prompts are recovered, two processes equal one, pyiqa trains."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from metrics import learned
from photos import BUNDLED, distorted_photos
from torch import Tensor
from torch.nn import functional as F

from clipiqa_pyiqa import CLIPIQA
from clipiqa_pyiqa.files.locking import LockedError
from clipiqa_pyiqa.images.reader import read_image
from clipiqa_pyiqa.learning.feature_store import FeatureStore
from clipiqa_pyiqa.learning.recipe import ConfigError, find_recipe, with_options
from clipiqa_pyiqa.learning.training import Progress, TrainingError, prepare_folder, train_context
from clipiqa_pyiqa.learning.views import Features, drawn_features, views_of
from clipiqa_pyiqa.stats.correlation import srocc

PLAIN = find_recipe("plain")
SMALL = with_options(PLAIN, batch_size=3, epochs=10)


@pytest.fixture(scope="module")
def rn50(seeded_weights: Callable[[str], Path]) -> Path:
    return seeded_weights("RN50")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return distorted_photos(tmp_path_factory.mktemp("photos"), sorted(BUNDLED.glob("*.jpg"))[:1], (48, 40))[:6]


@pytest.fixture(scope="module")
def fresh(rn50: Path) -> CLIPIQA:
    return CLIPIQA("clipiqa+", pretrained=False, clip_weights=rn50, quick_gelu=True)


def given(features: Tensor) -> Features:
    return lambda rows, generator: features[rows]


def trained(metric: CLIPIQA, features: Features, folder: Path, config=SMALL) -> tuple[list[float], Tensor]:
    """The losses of the epochs, and the context that was learned."""
    progress: list[Progress] = []
    targets = torch.linspace(0, 1, 6)[:, None]
    twin = copy.deepcopy(metric)
    val_features = F.normalize(torch.eye(6, 1024) + 0.1)
    train_context(twin, config, features, targets, val_features, targets, folder, report=progress.append)
    return [each.loss for each in progress], twin.prompt_learner.ctx.detach()


def test_twenty_steps_cached_equal_twenty_steps_on_images(fresh, photos, tmp_path):
    """Encoded separately, in other batches: loss and ctx within 1e-4."""
    config = with_options(SMALL, crop=32, crops=2)  # with flips, as every recipe has
    views = [views_of(config.recipe, config.seed, row) for row in range(6)]
    stored = FeatureStore(fresh, tmp_path).features(photos, views)
    columns = drawn_features(torch.arange(4).expand(6, 4), config.recipe)

    def encoded(rows: list[int], generator: torch.Generator) -> Tensor:
        drawn = zip(rows, columns(rows, generator).tolist(), strict=True)
        pixels = [views[row][column](read_image(photos[row]).pixels, photos[row]) for row, column in drawn]
        with torch.no_grad():
            return fresh.encode_image(torch.stack(pixels) / 255)

    both = drawn_features(stored, config.recipe), encoded
    losses, contexts = zip(*(trained(fresh, features, tmp_path, config) for features in both), strict=True)
    torch.testing.assert_close(*map(torch.tensor, losses), atol=1e-4, rtol=0)
    torch.testing.assert_close(*contexts, atol=1e-4, rtol=0)
    assert (contexts[0] - fresh.prompt_learner.ctx).abs().max() > 1e-3  # twenty steps did go somewhere


def test_equal_features_give_bit_equal_training(fresh, tmp_path):
    features = F.normalize(torch.randn(6, 1024, generator=torch.Generator().manual_seed(0)), dim=-1)
    (one, first), (other, second) = (trained(fresh, given(features.clone()), tmp_path) for _ in range(2))
    assert one == other and torch.equal(first, second)


def test_hidden_prompts_are_recovered(rn50, tmp_path):
    """Scores of a hidden context are learned from a random start, up to SROCC 0.95 on images held out.

    The features lie in the span of 24 directions, as those of photos do of few; a network with random weights does not
    give such features itself.
    """
    generator = torch.Generator().manual_seed(0)
    directions = torch.linalg.qr(torch.randn(1024, 24, generator=generator))[0]
    features = F.normalize(torch.randn(400, 24, generator=generator) @ directions.T, dim=-1)
    with torch.no_grad():
        scores = learned(rn50, {"n_ctx": 4}, seed=11).eval().score(features)
    torch.manual_seed(3)
    student = CLIPIQA(
        "clipiqa+", pretrained=False, clip_weights=rn50, quick_gelu=True, context={"n_ctx": 4, "init": "random"}
    )
    config = with_options(PLAIN, batch_size=32, epochs=15, lr=5e-3)
    config = replace(config, recipe=replace(config.recipe, scheduler=None))
    with torch.no_grad():  # in training mode, since in evaluation an untrained context has no score
        before = srocc(student.train().score(features[300:])[:, 0].numpy(), scores[300:, 0].numpy())
    assert before < 0.8
    best = train_context(student, config, given(features[:300]), scores[:300], features[300:], scores[300:], tmp_path)
    assert best["srocc"] >= 0.95


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"optim": {"type": "Adamm", "lr": 1e-3}}, ConfigError, "did you mean 'Adam'"),
        ({"optim": {"type": "SGD", "lr": 1e-3, "betas": 1}}, ConfigError, "does not take these options"),
        ({"losses": ({"type": "MSEloss"},)}, ConfigError, "did you mean 'MSELoss'"),
        ({"losses": ()}, ConfigError, "names no loss"),
        ({"batch_size": 7}, TrainingError, "cannot fill a batch of 7"),
        ({}, TrainingError, "the loss of epoch 1 is not finite"),
    ],
)
def test_bad_recipes(fresh, tmp_path, changes, error, message):
    with pytest.raises(error, match=message):
        trained(fresh, given(torch.full((6, 1024), torch.nan)), tmp_path, with_options(SMALL, **changes))


def _gradient(rank: int, weights: Path, folder: Path) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", f"file://{folder}/rendezvous", world_size=2, rank=rank)
    metric = learned(weights)
    parallel = torch.nn.parallel.DistributedDataParallel(metric)
    images, targets = _batch()
    F.mse_loss(parallel(images[rank::2]), targets[rank::2]).backward()
    torch.save(metric.prompt_learner.ctx.grad, folder / f"{rank}.pt")
    torch.distributed.barrier()


def _batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(4, 3, 64, 64, generator=generator), torch.rand(4, 1, generator=generator)


def test_two_processes_give_the_gradient_of_the_joint_batch(rn50, forked, tmp_path):
    assert forked.call(_gradient, (0, rn50, tmp_path), (1, rn50, tmp_path), folder=tmp_path) == [0, 0]
    metric = learned(rn50)
    images, targets = _batch()
    F.mse_loss(metric(images), targets).backward()
    expected = metric.prompt_learner.ctx.grad
    for rank in (0, 1):
        grad = torch.load(tmp_path / f"{rank}.pt")
        assert (grad - expected).norm() <= 1e-4 * expected.norm()  # fp32, other batches and another order of sums


@pytest.mark.parametrize("name", ["official", "pyiqa"])
def test_pyiqas_own_trainer(rn50, photos, tmp_path, monkeypatch, name):
    """Its GeneralIQAModel and train_pipeline, from our config: builds, trains prompts only, saves, loads strictly."""
    import yaml
    from pyiqa.models.general_iqa_model import GeneralIQAModel
    from pyiqa.train import train_pipeline

    options = yaml.safe_load((Path(__file__).parents[2] / "configs/train" / f"{name}.yml").read_text())
    rows = [f"{path.name},{index * 15},{'val' if index < 2 else 'train'}" for index, path in enumerate(photos)]
    (tmp_path / "meta.csv").write_text("img_name,MOS,official_split\n" + "\n".join(rows))
    for split in options["datasets"].values():
        split |= {"meta_info_file": str(tmp_path / "meta.csv"), "dataroot_target": str(photos[0].parent)}
        split |= {"num_worker_per_gpu": 0, "batch_size_per_gpu": 2}
    augment = options["datasets"]["train"]["augment"]
    augment |= {"random_crop": 32} if "random_crop" in augment else {}
    options["network"] |= {"clip_weights": str(rn50), "quick_gelu": True}
    options["train"] |= {"total_epoch": 2}
    options["val"] |= {"val_freq": 2, "pbar": False}
    options["logger"] |= {"use_tb_logger": False}
    (tmp_path / "train.yml").write_text(yaml.safe_dump(options))
    monkeypatch.setattr("sys.argv", ["train.py", "-opt", str(tmp_path / "train.yml")])
    contexts: list[Tensor] = []

    def noted(self: GeneralIQAModel, data: object, feed_data: Callable = GeneralIQAModel.feed_data) -> None:
        contexts.append(self.net.prompt_learner.ctx.detach().clone())
        feed_data(self, data)

    monkeypatch.setattr(GeneralIQAModel, "feed_data", noted)
    level = logging.root.level
    results = train_pipeline(str(tmp_path))
    logging.root.setLevel(level)
    assert "srcc" in results["koniq10k"]
    saved = tmp_path / f"experiments/clipiqa_plus_{name}/models/net_latest.pth"
    state = torch.load(saved, weights_only=True)["params"]
    assert set(state) == {f"prompt_learner.{name}" for name in ("ctx", "token_prefix", "token_suffix")}
    network = {**options["network"], "pretrained_model_path": saved}
    del network["type"], network["model_type"]
    metric = CLIPIQA("clipiqa+", **network)
    assert metric.prompt_learner.ctx.shape == ((16, 512) if name == "official" else (2, 16, 512))
    assert not torch.equal(metric.prompt_learner.ctx, contexts[0])  # where training began
    metric.load_state_dict(state, strict=True)


def test_one_training_at_a_time_in_a_folder(tmp_path):
    with prepare_folder(tmp_path / "run") as folder:
        (folder / "best.safetensors").write_text("mine")
        again = prepare_folder(folder, overwrite=True)
        with pytest.raises(LockedError, match="is being written by process"), again:
            pass
    assert (folder / "best.safetensors").read_text() == "mine"
    with pytest.raises(TrainingError, match="Set resume to continue"), prepare_folder(folder):
        pass
