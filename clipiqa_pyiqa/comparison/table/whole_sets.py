"""Metrics of whole sets, such as FID: one value for all images of a method."""

from __future__ import annotations

import contextlib
import math
import os
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from ..metrics import BuiltMetric
from ..scorers import StoredScore, failure


def score_set(metric: BuiltMetric, files: Sequence[str], references: Sequence[str], seed: int = 0) -> StoredScore:
    """Return what a metric gives for a set of images and its references, if it takes them; or why it fails.

    The metric is called with folders that hold these files and no others.
    """
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)
    start = time.perf_counter()
    try:
        with _folder(files) as ours, _folder(references) as theirs, contextlib.redirect_stdout(sys.stderr):
            given = [ours] if metric.spec.name == "inception_score" or not references else [ours, theirs]
            output = metric.score(*given, **({} if metric.spec.made is not None else {"verbose": False}))
    except Exception as error:  # whatever a foreign metric raises
        return StoredScore(None, math.nan, failure(error))
    if isinstance(output, Mapping):  # inception_score's mean and deviation over splits
        output = next(iter(output.values()))
    value = float(output)
    if not math.isfinite(value):
        return StoredScore(None, math.nan, f"its value is {value}")
    return StoredScore(value, time.perf_counter() - start)


@contextlib.contextmanager
def _folder(files: Sequence[str]) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        for number, path in enumerate(files):
            there = Path(folder, f"{number:06}{Path(path).suffix}")
            try:
                there.symlink_to(os.path.abspath(path))
            except OSError:  # a system without links
                shutil.copyfile(path, there)
        yield folder
