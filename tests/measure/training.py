"""How long training takes, ours and pyiqa's: ``python tests/measure/training.py PHOTOS``.

Weights are seeded, of the full RN50, since times do not depend on them. pyiqa's trainer is the real one with pyiqa's
own class, on a few batches; an epoch is then counted in batches of KonIQ-10k's 7,058 training images.
"""

import contextlib
import io
import itertools
import logging
import time
from unittest import mock

import torch
from PIL import Image, ImageOps
from safetensors.torch import load_file
from timing import arguments, new_folder, photos, seeded

# isort: split
from reference import run_trainer, trainer_options

from clipiqa_pyiqa import CLIPIQA
from clipiqa_pyiqa.training import RECIPES, Augmentation, augmentations_of, with_options
from clipiqa_pyiqa.workbench.learning.epochs import train_context
from clipiqa_pyiqa.workbench.learning.rated_images import RatedImages
from clipiqa_pyiqa.workbench.learning.stored_features import NOT_AUGMENTED, read_or_encode_features

KONIQ = 7058  # training images
BATCH = 8


def write_images(folder, sources):
    """Write 128 JPEG files of the size of KonIQ-10k's small ones."""
    paths = []
    for number, source in zip(range(128), itertools.cycle(sources), strict=False):
        paths.append(folder / f"{number}.jpg")
        photo = Image.open(source).convert("RGB")
        ImageOps.fit(photo, (512, 384), bleed=number / 1000).save(paths[-1], quality=90)  # each with other pixels
    return paths


def pyiqas_trainer(weights, paths, folder):
    """Seconds per batch of pyiqa's trainer with its built-in, by its own recipe (crops of 384 px)."""
    from pyiqa.archs import clipiqa_arch
    from pyiqa.archs.clip_model import build_model
    from pyiqa.models.general_iqa_model import GeneralIQAModel

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
    ends = []
    step = GeneralIQAModel.optimize_parameters

    def timed(self, *args):
        step(self, *args)
        ends.append(time.perf_counter())

    with (
        mock.patch.object(clipiqa_arch, "load", lambda name, device: clip),
        mock.patch.object(GeneralIQAModel, "optimize_parameters", timed),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        run_trainer(options, folder)
    return (ends[-1] - ends[0]) / (len(ends) - 1)  # without the first, which warms up


def our_epoch(metric, folder):
    """Seconds per batch of the second epoch of 40 batches, with stored features."""
    features = torch.nn.functional.normalize(torch.randn(320, 1024))
    targets = torch.rand(320, 1)
    ends = []
    config = with_options("pyiqa", batch_size=BATCH, epochs=2)
    views = features[:, None].expand(-1, 8, -1)
    given = metric, config, RatedImages(views, targets), RatedImages(features[:8], targets[:8]), folder
    with mock.patch("clipiqa_pyiqa.workbench.learning.epochs.log.info", lambda *_: ends.append(time.perf_counter())):
        train_context(*given)
    return (ends[1] - ends[0]) / 40


def main():
    logging.disable(logging.WARNING)
    torch.manual_seed(0)
    sources = photos(arguments("photos").photos)
    with new_folder() as folder:
        options = seeded("RN50", folder)
        (folder / "images").mkdir()
        paths = write_images(folder / "images", sources)
        metric = CLIPIQA("clipiqa+", pretrained=False, pos_embedding=True, **options)
        views = [augmentations_of(RECIPES["pyiqa"], index)[:2] for index in range(16)]
        for name, asked in {
            "whole, flipped": [(NOT_AUGMENTED, Augmentation(flip=True))] * 16,
            "crops of 384": views,
        }.items():
            start = time.perf_counter()
            read_or_encode_features(metric, folder / "store", paths[:16], asked)
            print(f"first pass, {name}: {(time.perf_counter() - start) / 32:.3g} s per feature")
        batches = KONIQ / BATCH
        print(f"epoch of {KONIQ:,} images, batch {BATCH}: {our_epoch(metric, folder) * batches:.3g} s, stored features")
        theirs = pyiqas_trainer(options["clip_weights"], paths, folder) * batches
        print(f"epoch of {KONIQ:,} images, batch {BATCH}: {theirs:.3g} s in pyiqa's trainer")


if __name__ == "__main__":
    main()
