"""Metrics of pyiqa that score in processes of their own."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import torch

from ..images.system_memory import keep_large_blocks, keep_memory
from ..metrics.description import PyiqaDescription, Takes
from ..metrics.kinds import PyiqaMetric
from ..metrics.metric_set import MetricSet
from .answers import Answer, answers_one_by_one
from .options import Options


def metrics_for_processes(metrics: MetricSet) -> dict[int, PyiqaDescription]:
    """Return the position and description of each metric of pyiqa that can score in a process of its own."""
    descriptions = dict[int, PyiqaDescription]()
    for position, metric in metrics.one_by_one.items():
        if isinstance(metric, PyiqaMetric) and metric.takes is not Takes.FOLDERS:
            descriptions[position] = replace(metric.description, record=metric.columns[0].record)
    return descriptions


_PROCESSES = WeakKeyDictionary[MetricSet, Any]()
"""Processes of metrics, which a later run of the same metrics uses again; they end with the metrics."""


def processes_of(metrics: MetricSet, descriptions: Mapping[int, PyiqaDescription], options: Options) -> Any:
    """Return the processes that score these metrics; None if there are none."""
    if not descriptions:
        return None
    if metrics not in _PROCESSES:
        from .processes import Processes

        _PROCESSES[metrics] = Processes(options.processes, partial(_function_of_process, descriptions, options))
    return _PROCESSES[metrics]


def _function_of_process(
    descriptions: Mapping[int, PyiqaDescription], options: Options
) -> Callable[..., dict[int, Answer]]:
    """Return the function that scores an image in a process of its own."""
    keep_memory()
    keep_large_blocks()  # otherwise allocating NIQE's blocks of 100 MB takes twice as long as NIQE itself
    torch.set_num_threads(1)
    built = {
        position: description.build(options.device, options.seed) for position, description in descriptions.items()
    }
    return partial(answers_one_by_one, built, options)
