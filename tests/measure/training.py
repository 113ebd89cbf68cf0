"""How long training takes, ours and pyiqa's: ``python tests/measure/training.py [PHOTOS]``.

And how long a search for prompts takes, beside encoding its texts alone, one by one, with 77 positions. Weights are
seeded, of the full RN50, since times do not depend on them. pyiqa's trainer is the real one with pyiqa's own class, on
a few batches; an epoch is then counted in batches of KonIQ-10k's 7,058 training images.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import logging
import statistics
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F

from clipiqa_pyiqa import CLIPIQA
from clipiqa_pyiqa.clip.text import tokenize
from clipiqa_pyiqa.learning.feature_store import FeatureStore
from clipiqa_pyiqa.learning.recipe import WHOLE, Augmentation, augmentations_of, find_recipe, with_options
from clipiqa_pyiqa.learning.training import train_context
from clipiqa_pyiqa.learning.word_search import make_candidates, search

ROOT = Path(__file__).parents[2]
KONIQ = 7058  # training images
IMAGES = 128
BATCH = 8
SIZE = (512, 384)


def write_images(folder: Path, sources: list[Path]) -> list[Path]:
    """JPEG files of the size of KonIQ-10k's small ones, cut out of photos."""
    paths = []
    for number, source in zip(range(IMAGES), itertools.cycle(sources), strict=False):
        photo = Image.open(source).convert("RGB")
        scale = 1.2 * max(SIZE[0] / photo.width, SIZE[1] / photo.height)
        photo = photo.resize((round(photo.width * scale), round(photo.height * scale)))
        left, top = ((a - b) * (number % 7) // 7 for a, b in zip(photo.size, SIZE, strict=True))
        paths.append(folder / f"{number}.jpg")
        photo.crop((left, top, left + SIZE[0], top + SIZE[1])).save(paths[-1], quality=90)
    return paths


def pyiqas_trainer(weights: Path, paths: list[Path], folder: Path) -> float:
    """Seconds per batch of pyiqa's trainer with its built-in, by its own recipe (crops of 384 px)."""
    from pyiqa.archs import clipiqa_arch
    from pyiqa.archs.clip_model import build_model
    from pyiqa.models.general_iqa_model import GeneralIQAModel
    from pyiqa_trainer import run_trainer, trainer_options

    options = trainer_options("pyiqa", paths, folder, num_worker_per_gpu=2, batch_size_per_gpu=BATCH)
    options["datasets"]["train"]["dataset_enlarge_ratio"] = 2
    options["name"] = "speed"
    options["network"] = {"type": "CLIPIQA_builtin", "model_type": "clipiqa+", "pretrained": False}
    options["network"]["pos_embedding"] = True
    options["train"] |= {"total_iter": 5}
    del options["train"]["total_epoch"]
    options["val"] |= {"val_freq": 10**6}
    options["logger"] |= {"save_latest_freq": 10**6}
    clip = build_model(load_file(weights)).float()
    starts: list[float] = []
    step = GeneralIQAModel.optimize_parameters

    def timed(self: GeneralIQAModel, *args: object) -> None:
        step(self, *args)
        starts.append(time.perf_counter())

    with (
        mock.patch.object(clipiqa_arch, "load", lambda name, device: clip),
        mock.patch.object(GeneralIQAModel, "optimize_parameters", timed),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        run_trainer(options, folder)
    return statistics.mean(b - a for a, b in itertools.pairwise(starts))  # without the first, which warms up


def some_features(count: int) -> Tensor:
    """Unit features as a store would give them."""
    return F.normalize(torch.randn(count, 1024), dim=-1)


def our_metric(weights: Path) -> CLIPIQA:
    return CLIPIQA("clipiqa+", pretrained=False, clip_weights=weights, quick_gelu=True, pos_embedding=True)


def our_epoch(metric: CLIPIQA, folder: Path) -> float:
    """Seconds per batch of the second epoch of 40 batches."""
    features, targets, ends = some_features(40 * BATCH), torch.rand(40 * BATCH, 1), []
    config = with_options(find_recipe("pyiqa"), batch_size=BATCH, epochs=2)
    views = features[:, None].expand(-1, 8, -1)
    given = metric, config, views, targets, some_features(8), torch.rand(8, 1), folder
    train_context(*given, report=lambda progress: ends.append(time.perf_counter()))
    return (ends[1] - ends[0]) / 40


def search_time(weights: Path, count: int) -> tuple[float, float]:
    """Seconds of a search on 2,000 stored features, and of encoding its texts one by one with 77 positions."""
    metric = CLIPIQA(clip_weights=weights, quick_gelu=True).eval()
    candidates = make_candidates([(f"Good photo number {n}.", f"Bad photo number {n}.") for n in range(count)])
    tower, start = metric.clip.text_tower(torch.device("cpu"), torch.float32), time.perf_counter()
    with torch.no_grad():
        for text in [pair.positive for pair in candidates[::20]]:
            tower.transformer(tower.embed(tokenize([text])) + tower.positional_embedding, is_causal=True)
    singly = 40 * (time.perf_counter() - start)
    start = time.perf_counter()
    search(metric, some_features(2000), torch.rand(2000), range(400), candidates)
    return time.perf_counter() - start, singly


def main() -> None:
    sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))
    from seeded import save_seeded

    logging.disable(logging.WARNING)
    folder = Path(tempfile.mkdtemp())
    sources = sorted(Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "tests/data").glob("*.jpg"))
    weights = save_seeded(folder)
    (folder / "images").mkdir()
    paths = write_images(folder / "images", sources)
    torch.manual_seed(0)
    searched, singly = search_time(weights, 1000)
    print(f"search among 1,000 pairs: {searched:.3g} s; encoding their texts singly: {singly:.3g} s")
    ours, theirs = our_epoch(our_metric(weights), folder), pyiqas_trainer(weights, paths, folder)
    print(f"epoch of {KONIQ:,} images, batch {BATCH}: {ours * KONIQ / BATCH:.3g} s with stored features")
    print(f"epoch of {KONIQ:,} images, batch {BATCH}: {theirs * KONIQ / BATCH:.3g} s in pyiqa's trainer")
    store = FeatureStore(our_metric(weights), folder / "store")
    views = [augmentations_of(find_recipe("pyiqa"), index)[:2] for index in range(16)]
    for name, asked in {"whole, flipped": [(WHOLE, Augmentation(flip=True))] * 16, "crops of 384": views}.items():
        start, count = time.perf_counter(), sum(map(len, asked))
        store.features(paths[:16], asked)
        seconds = (time.perf_counter() - start) / count
        print(f"first pass, {name}: {seconds:.3g} s per feature")


if __name__ == "__main__":
    main()
