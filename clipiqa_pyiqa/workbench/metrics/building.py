"""Building of metrics from their descriptions."""

from __future__ import annotations

import inspect
import threading
from typing import Any

import torch

from ...checks import check_keys
from ...errors import CLIPIQAError, ConfigError, describe_error
from ...files import remembered_sha256
from ...machine import import_pyiqa
from ...metric import CLIPIQA
from ...options import net_of
from ...prompts.pairs import column_records, parse_questions
from ...tower_metric import TowerMetric
from ..results.columns import Column, Record
from .configurations import pyiqa_configs
from .description import CLIPIQA_NAMES, Description, ObjectDescription, PyiqaDescription
from .downloads import Downloads
from .kinds import AnyMetric, BrokenMetric, ClipMetric, ObjectMetric, PyiqaMetric, columns_with_fields
from .metric_set import MetricSet
from .opened_files import opened_weights
from .parameters import hash_parameters
from .parsing import AnyPrompts, parse_metrics
from .records import record_of_object, record_of_options


def build_metrics(
    metrics: Any,
    prompts: AnyPrompts = None,
    device: torch.device | str = "cpu",
    *,
    strict: bool = False,
    **options: Any,
) -> MetricSet:
    """Return the metrics that the caller names, ready to score, or broken.

    Args:
        metrics, prompts, options: As for :func:`~clipiqa_pyiqa.workbench.metrics.parsing.parse_metrics`.
        strict: Raise ``CLIPIQAError`` if one is broken.
    """
    device = torch.device(device)
    return MetricSet(metric.build(device, strict=strict) for metric in parse_metrics(metrics, prompts, **options))


def build(
    description: Description, device: torch.device, seed: int = 0, strict: bool = False
) -> ClipMetric | PyiqaMetric | ObjectMetric | BrokenMetric:
    """Return the metric, ready to score, or a broken one, which tells why it cannot.

    Arguments are those of :meth:`Description.build`.
    """
    columns = description.columns
    downloads = Downloads()
    try:
        columns = columns_with_fields(columns, _record_before_building(description, seed))
        metric = _built(description, columns, device, seed, downloads)
        return metric.with_view_recorded(device)
    except ConfigError:  # an unknown option
        raise
    except Exception as error:
        if not description.label:
            raise
        broken = _broken(description, columns, error, downloads.missing_file(error))
        if strict:
            raise CLIPIQAError(f"metric {description.label}: {broken.reason}") from error
        return broken


def _broken(description: Description, columns: tuple[Column, ...], error: Exception, remedy: str) -> BrokenMetric:
    """Return the metric that an error keeps from being built; ``remedy`` is a clause that follows the error."""
    # in a metric's name, its options are written as in clipiqa:backbone=mini
    spelled = {option: f"{description.name or 'NAME'}:{option}" for option in inspect.signature(CLIPIQA).parameters}
    if isinstance(error, FileNotFoundError) and error.filename:
        error = CLIPIQAError(f"there is no file {error.filename!r}")
    whole_error = error.text(spelled) if isinstance(error, CLIPIQAError) else str(error)
    reason = f"it cannot be built: {describe_error(error, spelled)}{remedy}."
    columns = columns_with_fields(columns, {"error": reason})
    return BrokenMetric(description, columns, reason, f"{whole_error}{remedy}")


def build_clipiqa(metric: AnyMetric, device: torch.device) -> ClipMetric:
    """Return a CLIP-IQA without label, built on a device."""
    clipiqa = metric.build(device)
    assert isinstance(clipiqa, ClipMetric)  # without label, what cannot be built raises
    return clipiqa


def _is_ours(description: Description) -> bool:
    return isinstance(description, PyiqaDescription) and description.is_ours


def _record_before_building(description: Description, seed: int) -> Record:
    """Return the fields of a record that are known without a network; nothing of a metric on CLIP."""
    if not description.label or _is_ours(description):
        return {}
    if isinstance(description, PyiqaDescription):
        return {"seed": seed, **record_of_options(description.options)}
    assert isinstance(description, ObjectDescription)
    if _has_encoding(description.instance):
        return {}
    return {"seed": seed, **record_of_object(description.instance)}


def _has_encoding(instance: Any) -> bool:
    """Return whether an object is a metric of this package on CLIP, perhaps in pyiqa's wrapper."""
    return hasattr(getattr(instance, "net", instance), "encoding")


def _built(
    description: Description, columns: tuple[Column, ...], device: torch.device, seed: int, downloads: Downloads
) -> ClipMetric | PyiqaMetric | ObjectMetric:
    """Return a metric that can score. Raises what its maker raises."""
    if isinstance(description, ObjectDescription):
        return _of_object(description, columns, device)
    assert isinstance(description, PyiqaDescription)
    if description.is_ours:
        if description.is_clipiqa:
            known = inspect.signature(CLIPIQA).parameters
            check_keys(description.options, known, f"the options of {description.label or 'CLIP-IQA'!r}")
        return _on_clip(description, create_ours(description.name, device, **description.options), device)
    return _of_pyiqa(description, columns, device, seed, downloads)


def create_ours(name: str, device: torch.device, **options: Any) -> Any:
    kind: Any = CLIPIQA
    if name not in CLIPIQA_NAMES:
        from ...family import MEMBERS

        kind = MEMBERS[name]
    return kind(name, **options).to(device).eval()


def _of_object(
    description: ObjectDescription, columns: tuple[Column, ...], device: torch.device
) -> ClipMetric | ObjectMetric:
    instance = description.instance
    if not description.label:
        return _on_clip(description, net_of(instance), device)
    if isinstance(instance, torch.nn.Module):
        instance = instance.to(device)
    if _has_encoding(instance):
        return _on_clip(description, getattr(instance, "net", instance), device)
    return ObjectMetric(description, columns, instance)


def _on_clip(description: Description, net: TowerMetric, device: torch.device) -> ClipMetric:
    """Return a metric on CLIP; its columns' records have the fields of the tower and of the question."""
    fields = net.provenance()
    records = fields.pop("scores")
    questions = None
    if description.questions is not None:
        questions = parse_questions(description.questions, getattr(net, "template", None))
        records = column_records(questions)
    if device.type != "cpu":
        fields.pop("cpu_arithmetic", None)
    columns = tuple(Column(name, {**fields, **record}) for name, record in records.items())
    if description.label:
        if len(columns) > 1:
            raise CLIPIQAError(f"one score is needed, but it gives {len(columns)} to an image: set aggregate=mean")
        columns = (Column(description.label, columns[0].record),)
    return ClipMetric(description, columns, net, questions)


def _of_pyiqa(
    description: PyiqaDescription, columns: tuple[Column, ...], device: torch.device, seed: int, downloads: Downloads
) -> ClipMetric | PyiqaMetric:
    """Return a metric of pyiqa, whose record tells its parameters, and the files that they are from."""
    with _PYIQA, opened_weights() as paths, torch.random.fork_rng(devices=[]), downloads.watched():
        torch.default_generator.manual_seed(seed)  # for parameters that are in no file
        metric = _create_pyiqas(description, device)
    if _has_encoding(metric):
        return _on_clip(description, getattr(metric, "net", metric), device)
    if "parameters" in description.record:  # this process was given them, and so need not hash them
        return PyiqaMetric(description, columns, metric)
    fields = dict[str, Any]()
    if paths:
        files_of_options = columns[0].record.get("files", {})
        fields["files"] = {**files_of_options, **{path.name: remembered_sha256(path) for path in paths}}
    parameters = hash_parameters(getattr(metric, "net", metric))
    if parameters:
        fields["parameters"] = parameters
    return PyiqaMetric(description, columns_with_fields(columns, fields), metric)


_PYIQA = threading.Lock()
"""Held while pyiqa builds a metric, because output streams and torch's seed belong to all threads."""


def _create_pyiqas(description: PyiqaDescription, device: torch.device) -> Any:
    archs = import_pyiqa(".archs")
    if not description.name:
        return archs.build_network(dict(description.options)).to(device).eval()
    try:
        return import_pyiqa().create_metric(description.name, device=device, **description.options)
    except TypeError:  # perhaps an unknown option
        kind = archs.ARCH_REGISTRY.get(pyiqa_configs()[description.name]["metric_opts"]["type"])
        check_keys(description.options, _accepted_options(kind), f"the options of {description.label!r}")
        raise


def _accepted_options(kind: type) -> list[str]:
    """Return the names of the options that a class of pyiqa takes, or a class that it passes them on to."""
    variable = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    names = []
    for base in kind.__mro__:
        if "__init__" not in vars(base):
            continue
        _, *parameters = inspect.signature(vars(base)["__init__"]).parameters.values()  # without self
        names += [parameter.name for parameter in parameters if parameter.kind not in variable]
    return list(dict.fromkeys(names))
