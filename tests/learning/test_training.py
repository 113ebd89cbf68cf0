"""Training: hidden prompts are recovered, seeds decide, two processes equal one, pyiqa trains."""

from __future__ import annotations

import copy
import logging
from pathlib import Path

import pytest
import torch
import yaml
from photos import BUNDLED, distorted_photos
from pyiqa_trainer import CONFIGS, run_trainer, trainer_options
from torch import Tensor
from torch.nn import functional as F

from clipiqa_pyiqa import CLIPIQA
from clipiqa_pyiqa.errors import CLIPIQAError, OptionError
from clipiqa_pyiqa.files.writing import LockedError
from clipiqa_pyiqa.learning.recipe import RECIPES, augmentations_of, draw_augmentation, find_recipe, with_options
from clipiqa_pyiqa.learning.training import Progress, prepare_folder, train_context
from clipiqa_pyiqa.stats.correlation import srocc

SMALL = with_options(find_recipe("plain"), batch_size=3, epochs=10)


def fresh(**context: object) -> CLIPIQA:
    return CLIPIQA("clipiqa+", "mini", pretrained=False, context=context)


def hidden(**options: object) -> CLIPIQA:
    """A metric with a context of its own, as if it had been trained."""
    metric = fresh(**options)
    generator = torch.Generator().manual_seed(11)
    metric.prompt_learner.ctx.data += torch.randn(metric.prompt_learner.ctx.shape, generator=generator) * 0.05
    return metric.eval()


def trained(metric: CLIPIQA, features: Tensor, folder: Path, recipe=SMALL) -> tuple[list[float], Tensor]:
    """The losses of the epochs, and the context that was learned."""
    progress: list[Progress] = []
    targets = torch.linspace(0, 1, 6)[:, None]
    twin = copy.deepcopy(metric)
    val_features = F.normalize(torch.eye(6, features.shape[-1]) + 0.1)
    train_context(twin, recipe, features, targets, val_features, targets, folder, report=progress.append)
    return [each.loss for each in progress], twin.prompt_learner.ctx.detach()


def some_features(count: int, metric: CLIPIQA) -> Tensor:
    """Unit features in the span of 24 directions, as those of photos are of few; equal for both views."""
    generator = torch.Generator().manual_seed(0)
    directions = torch.linalg.qr(torch.randn(metric.clip.width, 24, generator=generator))[0]
    features = F.normalize(torch.randn(count, 24, generator=generator) @ directions.T, dim=-1)
    return features[:, None].expand(-1, 2, -1)


def test_equal_features_give_bit_equal_training(tmp_path):
    metric = fresh()
    features = some_features(6, metric)
    (one, first), (other, second) = (trained(metric, features.clone(), tmp_path) for _ in range(2))
    assert one == other and torch.equal(first, second)
    log = (tmp_path / "log.csv").read_text().splitlines()
    assert log[0] == "epoch,loss,srocc,plcc,krcc" and len(log) == 11
    assert [float(line.split(",")[1]) for line in log[1:]] == one


def test_an_epoch_is_plain_gradient_descent(tmp_path):
    """Two steps of SGD on the mean squared error, on views that the seed draws, against a loop written here."""
    metric = fresh()
    recipe = with_options(SMALL, sgd=True, plcc_loss=False, lr=0.5, epochs=1, crop=32, crops=3)
    features = F.normalize(torch.randn(6, 6, metric.clip.width, generator=torch.Generator().manual_seed(0)), dim=-1)
    assert len(augmentations_of(recipe, 0)) == 6 and augmentations_of(recipe, 0) != augmentations_of(recipe, 1)
    drawn: list[tuple[list[int], list[int]]] = []

    class Noted(Tensor):
        def __getitem__(self, index):
            rows, columns = index
            drawn.append((rows.tolist(), columns))
            return features[rows, columns]

    losses, context = trained(metric, features.as_subclass(Noted), tmp_path, recipe)
    targets, ctx = torch.linspace(0, 1, 6)[:, None], metric.prompt_learner.ctx
    for rows, columns in drawn:
        loss = F.mse_loss(metric.train().score(features[rows, columns]), targets[rows])
        (grad,) = torch.autograd.grad(loss, ctx)
        ctx.data -= 0.5 * grad
        losses.append(loss.item())
    assert losses[0] == pytest.approx(sum(losses[1:]) / 2)
    assert {row for rows, _ in drawn for row in rows} == {*range(6)}
    torch.testing.assert_close(context, ctx.detach())
    seen = {draw_augmentation(recipe, torch.Generator().manual_seed(seed)) for seed in range(60)}
    assert seen == {*range(6)}


def test_hidden_prompts_are_recovered(tmp_path):
    """Scores by other words are learned from a random start, up to SROCC 0.95 on images held out."""
    teacher = CLIPIQA(backbone="mini", prompts="colorfulness")
    features = some_features(400, teacher)
    torch.manual_seed(3)
    student = fresh(n_ctx=4, init="random").train()  # in evaluation, an untrained context has no score
    with torch.no_grad():
        scores, before = teacher.score(features[:, 0]), student.score(features[:, 0])
    assert abs(srocc(before[300:, 0].numpy(), scores[300:, 0].numpy())) < 0.5
    recipe = with_options(find_recipe("plain"), batch_size=32, epochs=15, lr=5e-3)
    data = features[:300], scores[:300], features[300:, 0], scores[300:]
    assert train_context(student, recipe, *data, tmp_path)["srocc"] >= 0.95


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"lr": -1.0}, OptionError, "lr must be"),
        ({"epochs": "ten"}, OptionError, "epochs must be"),
        ({"batch_size": 0}, OptionError, "batch_size must be between 1 and"),
        ({"batch_size": 7}, CLIPIQAError, "cannot fill a batch of 7"),
        ({}, CLIPIQAError, "the loss of epoch 1 is not finite"),
    ],
)
def test_bad_recipes(tmp_path, changes, error, message):
    metric = fresh()
    with pytest.raises(error, match=message):
        trained(metric, torch.full((6, 2, metric.clip.width), torch.nan), tmp_path, with_options(SMALL, **changes))


@pytest.mark.parametrize("name", ["official", "pyiqa"])
def test_recipes_are_those_of_the_configurations_for_pyiqas_trainer(name):
    options = yaml.safe_load((CONFIGS / f"{name}.yml").read_text())
    train, images, recipe = options["train"], options["datasets"]["train"], RECIPES[name]
    assert train["optim"] == {"type": "SGD" if recipe.sgd else "Adam", "lr": recipe.lr}
    assert train["scheduler"] == {"type": "CosineAnnealingLR", "T_max": recipe.cosine_epochs, "eta_min": 0}
    assert ("metric_loss_opt" in train) == recipe.plcc_loss and train["mos_loss_opt"]["type"] == "MSELoss"
    assert (train["total_epoch"], images["batch_size_per_gpu"]) == (recipe.epochs, recipe.batch_size)
    assert images["augment"] == {"hflip": True, **({"random_crop": recipe.crop} if recipe.crop else {})}
    ours = fresh(**recipe.network.get("context", {})).prompt_learner.ctx
    assert ours.shape == fresh(**options["network"]["context"]).prompt_learner.ctx.shape
    assert options["network"]["pos_embedding"] == recipe.network.get("pos_embedding", False)


def test_options_change_a_recipe():
    changed = with_options(find_recipe("official"), epochs=100, lr=1.0, crop=64, n_ctx=3, seed=1, backbone="mini")
    assert (changed.lr, changed.crop, changed.seed) == (1.0, 64, 1)
    assert changed.cosine_epochs == pytest.approx(2727 / 7.27)
    assert changed.network == {"backbone": "mini", "context": {"n_ctx": 3, "shared": True, "init": "random"}}
    assert with_options(changed, crop=0, lr=None).crop is None


def _gradient(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", f"file://{folder}/rendezvous", world_size=2, rank=rank)
    metric = hidden().train()
    parallel = torch.nn.parallel.DistributedDataParallel(metric)
    images, targets = _batch()
    F.mse_loss(parallel(images[rank::2]), targets[rank::2]).backward()
    torch.save(metric.prompt_learner.ctx.grad, folder / f"{rank}.pt")
    torch.distributed.barrier()


def _batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(4, 3, 64, 64, generator=generator), torch.rand(4, 1, generator=generator)


def test_two_processes_give_the_gradient_of_the_joint_batch(forked, tmp_path):
    assert forked.call(_gradient, (0, tmp_path), (1, tmp_path), folder=tmp_path) == [0, 0]
    metric = hidden().train()
    images, targets = _batch()
    F.mse_loss(metric(images), targets).backward()
    expected = metric.prompt_learner.ctx.grad
    for rank in (0, 1):
        grad = torch.load(tmp_path / f"{rank}.pt")
        assert (grad - expected).norm() <= 1e-4 * expected.norm()  # fp32, other batches and another order of sums


@pytest.mark.long
@pytest.mark.parametrize("name", ["official", "pyiqa"])
def test_pyiqas_own_trainer(seeded_weights, tmp_path, name):
    """Its GeneralIQAModel and train_pipeline, from our config: builds, trains prompts only, saves, loads strictly."""
    photos = distorted_photos(tmp_path, sorted(BUNDLED.glob("*.jpg"))[:1], (48, 40))[:6]
    options = trainer_options(name, photos, tmp_path, num_worker_per_gpu=0, batch_size_per_gpu=2)
    augment = options["datasets"]["train"]["augment"]
    augment |= {"random_crop": 32} if "random_crop" in augment else {}
    options["network"] |= {"clip_weights": str(seeded_weights("RN50")), "quick_gelu": True}
    options["train"] |= {"total_epoch": 2}
    options["val"] |= {"val_freq": 2}
    level = logging.root.level
    results = run_trainer(options, tmp_path)
    logging.root.setLevel(level)
    assert "srcc" in results["koniq10k"]
    saved = tmp_path / f"experiments/clipiqa_plus_{name}/models/net_latest.pth"
    state = torch.load(saved, weights_only=True)["params"]
    assert set(state) == {f"prompt_learner.{name}" for name in ("ctx", "token_prefix", "token_suffix")}
    assert state["prompt_learner.ctx"].shape == ((16, 512) if name == "official" else (2, 16, 512))
    loaded = CLIPIQA("clipiqa+", clip_weights=seeded_weights("RN50"), quick_gelu=True, pretrained_model_path=saved)
    loaded.load_state_dict(state, strict=True)


def test_one_training_at_a_time_in_a_folder(tmp_path):
    with prepare_folder(tmp_path / "run") as folder:
        (folder / "best.safetensors").write_text("mine")
        again = prepare_folder(folder, overwrite=True)
        with pytest.raises(LockedError, match="is being written by process"), again:
            pass
    assert (folder / "best.safetensors").read_text() == "mine"
    with pytest.raises(CLIPIQAError, match="set `resume` to continue"), prepare_folder(folder):
        pass
