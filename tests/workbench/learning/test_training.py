"""Training: its steps, hidden prompts that are recovered, two processes that equal one, and pyiqa's own trainer."""

import copy
import logging
from unittest import mock

import numpy as np
import pandas
import pytest
import torch
import yaml
from assertions import refused
from photos import photo_like
from reference import CONFIGS, run_trainer, trainer_options
from tensors import normal
from torch.nn import functional as F

from clipiqa_pyiqa import CLIPIQA, train
from clipiqa_pyiqa.training import (
    RECIPES,
    EpochResult,
    PromptTraining,
    Recipe,
    augmentations_of,
    draw_augmentation,
    seeded,
    with_options,
)
from clipiqa_pyiqa.workbench.files.locking import LockedError, locked
from clipiqa_pyiqa.workbench.learning.epochs import train_context
from clipiqa_pyiqa.workbench.learning.rated_images import RatedImages
from clipiqa_pyiqa.workbench.learning.training_files import TrainingProgress
from clipiqa_pyiqa.workbench.opinions.score_table import ScoreTable

SMALL = with_options("plain", batch_size=3, epochs=1)


def fresh(**context):
    return CLIPIQA("clipiqa+", "mini", pretrained=False, context=context)


def train_on(features, metric, folder, recipe=SMALL, resume=False):
    """The losses of the epochs."""
    targets = torch.linspace(0, 1, 6)[:, None]
    val_features = F.normalize(torch.eye(6, metric.clip.width) + 0.1)
    train_images = RatedImages(features, targets)
    val_images = RatedImages(val_features, targets)
    train_context(metric, recipe, train_images, val_images, folder, resume=resume)
    return pandas.read_csv(folder / "log.csv")["loss"].tolist()


def test_an_epoch_is_plain_gradient_descent(tmp_path):
    """Two steps of SGD on the mean squared error, on views that the seed draws, against a loop written here."""
    metric = fresh()
    recipe = with_options(SMALL, sgd=True, plcc_loss=False, lr=0.5, crop=32, crops=3)
    features = F.normalize(normal(6, 6, metric.clip.width), dim=-1)
    assert len(augmentations_of(recipe, 0)) == 6 and augmentations_of(recipe, 0) != augmentations_of(recipe, 1)
    noted = mock.MagicMock()  # notes the rows and columns that are asked for
    noted.__getitem__.side_effect = features.__getitem__
    trained = copy.deepcopy(metric)
    (mean_loss,) = train_on(noted, trained, tmp_path, recipe)
    targets = torch.linspace(0, 1, 6)[:, None]
    ctx = metric.prompt_learner.ctx
    drawn = [places for (places,), _ in noted.__getitem__.call_args_list]
    losses = []
    for rows, columns in drawn:
        loss = F.mse_loss(metric.train().score(features[rows, columns]), targets[rows])
        (grad,) = torch.autograd.grad(loss, ctx)
        ctx.data -= 0.5 * grad
        losses.append(loss.item())
    assert mean_loss == pytest.approx(sum(losses) / 2)
    assert sorted(torch.cat([rows for rows, _ in drawn]).tolist()) == [*range(6)]
    torch.testing.assert_close(trained.prompt_learner.ctx, ctx)
    seen = {draw_augmentation(recipe, torch.Generator().manual_seed(seed)) for seed in range(60)}
    assert seen == {*range(6)}


def test_trainings_that_cannot_be_are_refused(tmp_path):
    for size, value in {0: 1.0, 7: 1.0, 3: torch.nan}.items():
        given = torch.full((6, 2, 128), value), fresh(), tmp_path
        refused(lambda given=given, size=size: train_on(*given, with_options(SMALL, batch_size=size)))
    assert "batch_size" in refused(with_options, "plain", batchsize=4)
    flat_targets = torch.linspace(0, 1, 6)  # (6,) would broadcast to (6, 6)
    assert "(N, 1)" in refused(PromptTraining, fresh(), SMALL, torch.zeros(6, 2, 128), flat_targets)


def test_numbers_of_numpy_seed_as_pythons_do():
    drawn = [seeded(number, "epoch", number).initial_seed() for number in (123, np.int64(123))]
    assert drawn[0] == drawn[1]


def test_a_saved_context_of_another_shape_is_refused_not_broadcast(tmp_path):
    features = F.normalize(normal(6, 2, 128), dim=-1)
    train_on(features, fresh(), tmp_path)
    state = torch.load(tmp_path / "state.pt")
    for changes in ({"ctx": state["ctx"][:1]}, {"run": None}):
        torch.save({**state, **changes}, tmp_path / "state.pt")
        assert "state.pt" in refused(train_on, features, fresh(), tmp_path, resume=True)


def test_a_resumed_run_with_other_options_is_told_which(tmp_path):
    features = F.normalize(normal(6, 2, 128), dim=-1)
    train_on(features, fresh(), tmp_path)
    longer = with_options(SMALL, epochs=4)
    assert "epochs was 1, now 4)" in refused(train_on, features, fresh(), tmp_path, longer, resume=True)


def test_of_epochs_with_the_same_srocc_the_one_with_the_highest_plcc_is_best():
    progress = TrainingProgress()
    for number, plcc in enumerate([0.5, 0.7, 0.6], 1):
        progress.add(EpochResult(number, 1.0), {"srocc": 0.8, "plcc": plcc, "krcc": 0.1})
    assert progress.best["plcc"] == 0.7


def test_recipes_are_those_of_the_configurations_for_pyiqas_trainer():
    for name in ["official", "pyiqa"]:
        options = yaml.safe_load((CONFIGS / f"{name}.yml").read_text())
        train = options["train"]
        images = options["datasets"]["train"]
        recipe = RECIPES[name]
        assert train["optim"] == {"type": "SGD" if recipe.sgd else "Adam", "lr": recipe.lr}
        schedule = {"type": "CosineAnnealingLR", "T_max": recipe.cosine_epochs, "eta_min": recipe.min_lr}
        assert train["scheduler"] == schedule
        assert ("metric_loss_opt" in train) == recipe.plcc_loss and train["mos_loss_opt"]["type"] == "MSELoss"
        assert (train["total_epoch"], images["batch_size_per_gpu"]) == (recipe.epochs, recipe.batch_size)
        assert images["augment"] == {"hflip": True, **({"random_crop": recipe.crop} if recipe.crop else {})}
        ours = fresh(**recipe.network.get("context", {})).prompt_learner.ctx
        assert ours.shape == fresh(**options["network"]["context"]).prompt_learner.ctx.shape
        assert options["network"]["pos_embedding"] == recipe.network.get("pos_embedding", False)


def test_a_crop_of_0_means_whole_images():
    assert Recipe(crop=0).crop is None and with_options("pyiqa", crop=0).crop is None


def test_the_rate_ends_at_the_recipes_lowest():
    targets = torch.linspace(0, 1, 6)[:, None]
    features = F.normalize(normal(6, 2, 128), dim=-1)
    recipe = with_options("official", batch_size=3, epochs=2, cosine_epochs=727)  # stretched to 2 epochs
    training = PromptTraining(fresh(shared=True), recipe, features, targets)
    training.epoch()
    training.epoch()
    assert training.state()["scheduler"]["_last_lr"] == [pytest.approx(1e-7)]


def test_words_replace_the_context_of_any_recipe():
    recipe = with_options("official", init="words")
    assert recipe.network["context"] == {"init": "words"} and recipe.sgd


TARGETS = torch.tensor([[0.1], [0.8], [0.4], [0.6]])


def _gradient(rank, folder):
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", f"file://{folder}/rendezvous", world_size=2, rank=rank)
    metric = fresh().train()
    parallel = torch.nn.parallel.DistributedDataParallel(metric)
    F.mse_loss(parallel(photo_like(64, 64, n=4)[rank::2]), TARGETS[rank::2]).backward()
    torch.save(metric.prompt_learner.ctx.grad, folder / f"{rank}.pt")
    torch.distributed.barrier()


@pytest.mark.slow
def test_two_processes_give_the_gradient_of_the_joint_batch(forked, tmp_path):
    assert forked.call(_gradient, (0, tmp_path), (1, tmp_path), folder=tmp_path) == [0, 0]
    metric = fresh().train()
    F.mse_loss(metric(photo_like(64, 64, n=4)), TARGETS).backward()
    expected = metric.prompt_learner.ctx.grad
    for rank in (0, 1):
        grad = torch.load(tmp_path / f"{rank}.pt")
        assert (grad - expected).norm() <= 1e-4 * expected.norm()  # fp32, other batches and another order of sums


@pytest.mark.long
@pytest.mark.parametrize("name", ["official", "pyiqa"])
def test_pyiqas_own_trainer(photos, seeded_weights, tmp_path, name):
    """Its GeneralIQAModel and train_pipeline, from our config: builds, trains prompts only, saves, loads strictly."""
    options = trainer_options(name, photos[:6], tmp_path, num_worker_per_gpu=0, batch_size_per_gpu=2)
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
    best = tmp_path / "best.safetensors"
    best.write_text("mine")
    with locked(tmp_path), pytest.raises(LockedError):
        train(ScoreTable("none", pandas.DataFrame(), (0, 1)), tmp_path, backbone="mini", overwrite=True)
    assert best.read_text() == "mine"
