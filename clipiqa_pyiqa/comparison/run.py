"""Metrics side by side on data sets: from what is asked for to what it came to."""

from __future__ import annotations

import functools
import logging
import os
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from ..images.batches import default_workers
from .datasets import DataSet, parse_data_sets
from .distributed import Team, joined, team_of_environment
from .metrics import Metric, MetricSpec, build_metric, check_weights, parse_metrics
from .outcome import data_set_result, file_name, write_scores
from .pipeline import Options, Progress, score_data_set
from .published import SOURCES
from .results import Comparison
from .score_store import ScoreStore, writing
from .scorers import group_metrics, own_random_state, reason
from .specification import CompareError

log = logging.getLogger("clipiqa_pyiqa")


def compare(
    metrics: Any,
    data_sets: Any,
    *,
    out: str | Path | None = None,
    data_root: str | Path | None = None,
    device: str | torch.device | None = None,
    batch_size: int = 8,
    workers: int | None = None,
    bootstrap: int = 1000,
    seed: int = 0,
    plcc_fit: bool = False,
    published: str = "",
    resume: bool = False,
    overwrite: bool = False,
    trust_weights: bool = False,
    progress: Progress | None = None,
    settings: Mapping[str, str] | None = None,
) -> Comparison:
    """Score every image of every data set with every metric, and correlate the scores with opinion.

    Under ``torchrun`` the processes share the work through ``out`` and all return the same.

    Args:
        metrics: See :func:`~clipiqa_pyiqa.comparison.metrics.parse_metrics`.
        data_sets: See :func:`~clipiqa_pyiqa.comparison.datasets.parse_data_sets`.
        out: A folder, in which ``parts/`` takes per-image scores as they come and ``scores/`` one Parquet file per data
            set at the end. None keeps nothing.
        data_root: The folder that pyiqa's data set configurations call ``./datasets``.
        device: Where to score; default cuda if there is one, else cpu.
        batch_size: Images that are worked on at a time; those of equal size share a pass of a CLIP encoder.
        workers: Decoding threads; None is one per core, up to eight.
        bootstrap: Resamples for the intervals; 0 for none.
        seed: Of the resamples, and of metrics that draw at random.
        plcc_fit: Also PLCC after the VQEG logistic fit.
        published: ``'paper'`` or ``'pyiqa'``: whose values to show where both publish one.
        resume: Go on with the scores that lie in ``out``; those made by another setup are left alone.
        overwrite: Delete them first.
        trust_weights: Let pyiqa load whatever files and URLs the metrics' options name, though they could run code.
        progress: See :data:`~clipiqa_pyiqa.comparison.pipeline.Progress`.
        settings: More to say about this run, for the results.

    Raises:
        CompareError: Something asked for is unknown, missing or contradictory, or ``out`` cannot be written. What is
            wrong with one metric or one image is in the result instead.
        TableError: A CSV file cannot be used.
    """
    team = team_of_environment()
    specs, sets = parse_metrics(metrics), parse_data_sets(data_sets, data_root)
    options = Options(
        _device(device, team),
        _at_least(1, "batch_size", batch_size),
        _at_least(1, "workers", default_workers() if workers is None else workers),
        _seed(seed),
        progress or (lambda *_: None),
    )
    _at_least(0, "bootstrap", bootstrap)
    check_weights(specs, trust_weights)
    if published not in ("", *SOURCES):
        raise CompareError(f"published values are those of {' or '.join(map(repr, SOURCES))}, but {published!r} came.")
    folder = Path(out).expanduser().resolve() if out is not None else None
    if folder is None and team.size > 1:
        raise CompareError("several processes share their scores through a folder: name one with out (--out DIR).")
    with joined(team):
        stores = _stores(folder, sets, team, resume, overwrite)
        if not team.leads:
            team.wait()  # until the leader has fetched what metrics fetch
        built, failed = _build(specs, options)
        if team.leads:
            team.wait()
        results = []
        for data, store in zip(sets, stores, strict=True):
            with own_random_state():
                score_data_set(data, group_metrics(list(built.values())), store, team, options)
            store.flush()
            team.wait()
            store.load()
            team.wait()
            if team.leads:
                store.merge()
            results.append(data_set_result(data, specs, built, failed, store, bootstrap, seed, plcc_fit, published))
            if team.leads and folder is not None:
                write_scores(folder / "scores" / f"{file_name(data.name)}.parquet", results[-1])
        team.wait()
    told = {**_settings(team, options), "bootstrap": str(bootstrap), "seed": str(seed), **(settings or {})}
    return Comparison(tuple(results), told)


def _stores(
    folder: Path | None, sets: Sequence[DataSet], team: Team, resume: bool, overwrite: bool
) -> list[ScoreStore]:
    """Where each data set's scores go, checked to be writable, with what an earlier run left there."""
    owner = f"rank{team.rank}"
    if folder is None:
        return [ScoreStore(None, owner) for _ in sets]
    names = {file_name(data.name): data.name for data in reversed(sets)}
    for data in sets:
        if (other := names[file_name(data.name)]) != data.name:
            raise CompareError(
                f"the data sets {other!r} and {data.name!r} would both be kept as {file_name(data.name)!r}: give one a "
                "label that differs in more than punctuation."
            )
    stores = [ScoreStore(folder / "parts" / f"{file_name(data.name)}-{data.identity}", owner) for data in sets]
    if team.leads:
        taken = (folder / "parts").is_dir() and any((folder / "parts").iterdir())
        if taken and not resume and not overwrite:
            raise CompareError(
                f"{str(folder)!r} holds the scores of an earlier run: resume it (--resume), or overwrite it "
                "(--overwrite)."
            )
        for store in stores:
            assert store.folder is not None
            with writing(folder):
                store.folder.mkdir(parents=True, exist_ok=True)
                (folder / "scores").mkdir(exist_ok=True)
                if not os.access(store.folder, os.W_OK):
                    raise PermissionError(13, "permission denied")
                if overwrite and not resume:
                    store.clear()
    team.wait()
    for store in stores:
        store.load()
    team.wait()  # nobody writes before everybody has read, so that all see the same work as done
    return stores


def _build(specs: Sequence[MetricSpec], options: Options) -> tuple[dict[str, Metric], dict[str, str]]:
    """Label -> metric, and label -> why it cannot be built."""
    built, failed = {}, {}
    for spec in specs:
        try:
            built[spec.label] = build_metric(spec, options.device, options.seed)
        except Exception as error:
            hint = (
                "; if its weights cannot be fetched, name a local file in its options (pretrained_model_path=FILE)"
                if isinstance(error, OSError)
                else ""
            )
            failed[spec.label] = f"it cannot be built: {reason(error)}{hint}."
            log.warning("metric %s: %s", spec.label, failed[spec.label])
    return built, failed


@functools.cache
def _versions() -> dict[str, str]:
    packages = ("clipiqa-pyiqa", "pyiqa", "torch", "torchvision", "open_clip_torch", "pillow", "scipy")
    return {package: version(package) for package in packages}


def _settings(team: Team, options: Options) -> dict[str, str]:
    device = options.device
    return {
        **_versions(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "processes": str(team.size),
        "threads": str(torch.get_num_threads()),
        "batch size": str(options.batch_size),
        "workers": str(options.workers),
    }


def _device(device: str | torch.device | None, team: Team) -> torch.device:
    """The device; of several GPUs, each process of a team its own."""
    found = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if found.type == "cuda" and found.index is None:
        return torch.device("cuda", team.local_rank % max(1, torch.cuda.device_count()))
    return found


def _at_least(lowest: int, name: str, value: int) -> int:
    if value < lowest:
        raise CompareError(f"{name} must be at least {lowest}, but is {value}.")
    return value


def _seed(seed: int) -> int:
    if not 0 <= seed < 1 << 32:  # what numpy takes
        raise CompareError(f"seed must be between 0 and {(1 << 32) - 1}, but is {seed}.")
    return seed
