"""Metrics of a run, from pyiqa's names, configurations or metric objects."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import re
import sys
import textwrap
import traceback
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..datasets.published_correlations import ENSEMBLE, variant
from ..datasets.specification import CompareError, Specification, check_kinds, parse_specifications
from ..errors import CLIPIQAError, import_pyiqa, nearest, shown
from ..family import MEMBERS
from ..files.hashes import hash_file
from ..files.yaml import check_keys
from ..metric import CLIPIQA, net_of
from ..prompts.files import PUBLISHED
from ..prompts.heads import is_head, read_head, read_metadata
from ..prompts.pairs import PRESETS, Columns, PromptPair, Prompts, parse_columns
from ..prompts.provenance import column_records
from ..weights.foreign import check_options
from .directions import pyiqa_configs
from .scale import fingerprint

_ENTRY: dict[str, tuple[type, ...]] = {
    **{"metric": (str,), "metric_opts": (Mapping,), "metric_mode": (str,), "lower_better": (bool,)},
    "score_range": (str,),
}
_ONCE = "once-"  # the beginning of the state of a mere function
_DIRECT = ("clipiqa", *PUBLISHED, *MEMBERS)  # are built without pyiqa
_OF_SETS = ("FID", "InceptionScore")  # their mode in pyiqa is NR, but they rate a set of images
log = logging.getLogger("clipiqa_pyiqa")


@dataclass(frozen=True)
class MetricSpec:
    """A metric before it is built.

    Attributes:
        name: pyiqa's name of the metric; empty if ``options['type']`` names the class.
        options: Changes to pyiqa's ``metric_opts``.
        made: The caller's metric object, or None.
        mode: ``'NR'``, or ``'FR'`` for a metric that needs a reference.
        of_sets: Whether the metric rates a set of images.
    """

    label: str
    name: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    lower_better: bool = False
    score_range: str = ""
    made: Callable[..., Any] | None = None
    mode: str = "NR"
    of_sets: bool = False

    @property
    def kind(self) -> str:
        return str({**pyiqa_configs().get(self.name, {}).get("metric_opts", {}), **self.options}.get("type", ""))

    @property
    def provenance(self) -> dict[str, str]:
        return {"metric": self.name or self.kind, **{key: str(value) for key, value in self.options.items()}}


@dataclass(frozen=True)
class BuiltMetric:
    """A metric that is ready to score.

    Attributes:
        score: Function of images ``(N, 3, H, W)`` in [0, 1], in ``'FR'`` mode also of references.
        net: CLIP metric of this package, or None.
        columns: Names of the scores of one image.
        questions: Questions for ``net``; None means the metric's own.
        state: Hash of what an object holds; a number used once if there is nothing to hash.
    """

    spec: MetricSpec
    score: Any
    net: Any
    provenance: Mapping[str, Any]
    published_as: str = ""
    columns: tuple[str, ...] = ()
    questions: Columns | None = None
    state: str = ""

    @property
    def key(self) -> str:
        """Name of the metric and hash of everything that its scores depend on."""
        return f"{self.provenance['metric']}-{fingerprint({**self.provenance, 'state': self.state})}"

    @property
    def is_lasting(self) -> bool:
        return not self.state.startswith(_ONCE)

    @property
    def records(self) -> dict[str, Any]:
        if self.net is None:
            ends = [None if not end or "~" in end else float(end) for end in f"{self.spec.score_range},".split(",")[:2]]
            record = {**self.provenance, "range": ends, "lower_better": self.spec.lower_better}
            return {self.columns[0]: record | ({"state": self.state} if self.state else {})}
        if self.questions is not None:
            return column_records(self.questions)
        ours = {"range": getattr(self.net, "score_range", (0.0, 1.0)), "lower_better": False}
        ours["lower_better"] = getattr(self.net, "lower_better", False)
        return dict(self.provenance.get("scores") or dict.fromkeys(self.columns, ours))

    def on(self, device: torch.device) -> BuiltMetric:
        """Return the metric on a device; a metric of pyiqa is built again from its name."""
        if self.net is None and self.spec.made is None:
            return replace(self, score=build_metric(self.spec, device).score)
        for each in (self.score, self.net):
            if isinstance(each, torch.nn.Module):
                each.to(device).eval()
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), **({"score": None} if self.net is None and self.spec.made is None else {})}


class MetricSet:
    """The metrics of a run: metrics of this package share the encoding of images, other metrics score one by one.

    Args:
        named: Whether each metric has its own column, as in ``clipiqa score --metrics``.
    """

    def __init__(self, metrics: Sequence[BuiltMetric], named: bool = True) -> None:
        self.metrics, self.named = tuple(metrics), named
        self.groups: dict[Any, list[int]] = {}
        for place, metric in enumerate(self.metrics):
            if metric.net is not None:
                self.groups.setdefault(getattr(metric.net, "encoding", id(metric.net)), []).append(place)
        self.foreign = [place for place, metric in enumerate(self.metrics) if metric.net is None]

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(column for metric in self.metrics for column in metric.columns)

    @property
    def can_resume(self) -> bool:
        return all(metric.is_lasting for metric in self.metrics)

    def on(self, device: torch.device) -> MetricSet:
        return MetricSet([metric.on(device) for metric in self.metrics], self.named)

    def provenance(self) -> dict[str, Any]:
        """Return everything that scores depend on, except how images are read."""
        if not self.named:
            (metric,) = self.metrics
            return {**metric.provenance, "scores": metric.records}
        shared, scores = dict[str, Any](), dict[str, Any]()
        for metric in self.metrics:
            fields = {key: value for key, value in metric.provenance.items() if key != "scores"}
            shared |= {key: fields.pop(key) for key in ("version", "cpu_arithmetic") if key in fields}
            (record,) = metric.records.values()
            scores[metric.columns[0]] = {**fields, **record}
        return {**shared, "scores": scores}


def metric_set(
    given: Any,
    prompts: Prompts | Mapping[str, Sequence[PromptPair]] = None,
    device: torch.device | None = None,
    *,
    trust_weights: bool = False,
    strict: bool = False,
) -> MetricSet:
    """Return the metrics of a run.

    Args:
        given: A CLIP-IQA or a function that makes one; or names, options and objects as for :func:`parse_metrics`.
        prompts: Questions as for :func:`~clipiqa_pyiqa.prompts.pairs.parse_columns`, for a single metric with prompts.
        device: Device of metrics that are given by name.
        trust_weights, strict: As for :func:`~clipiqa_pyiqa.comparison.compare.compare`.

    Raises:
        CLIPIQAError: A metric is unknown, cannot be used or rates no single images; or no metric can be built.
    """
    is_one = not isinstance(given, str | Mapping | list | tuple | MetricSpec | Specification)
    if is_one and not (isinstance(given, torch.nn.Module) and hasattr(given, "net") and not _is_clip(given.net)):
        net = net_of(given)
        questions = None if prompts is None else parse_columns(prompts, getattr(net, "template", None))
        columns = tuple(net.columns if questions is None else questions)
        spec = MetricSpec("", made=given)
        return MetricSet([BuiltMetric(spec, net, net, net.provenance(), "", columns, questions)], named=False)
    if prompts is not None:
        raise CompareError("prompts must be None: each of several metrics has its own prompts.")
    specifications = [
        replace(each, label=each.label or each.target) if isinstance(each.target, str) else each
        for each in parse_specifications(given, "metric")
    ]
    specs = parse_metrics(specifications)
    check_weights([spec for spec in specs if not _is_built_directly(spec)], trust_weights)
    built = [build_or_explain(spec, device or torch.device("cpu"), 0, strict, directly=True) for spec in specs]
    if not (ready := [metric for metric in built if isinstance(metric, BuiltMetric)]):
        raise CompareError(f"metric {specs[0].label!r} cannot be used: {built[0]}")
    if many := [metric.spec.label for metric in ready if metric.net is not None and len(metric.net.columns) != 1]:
        raise CompareError(f"metric {many[0]!r} must give one score for each image: leave out aggregate.")
    return MetricSet([_ready(spec, metric) for spec, metric in zip(specs, built, strict=True)])


def _is_built_directly(spec: MetricSpec) -> bool:
    return spec.made is None and spec.name in _DIRECT


def _is_clip(net: Any) -> bool:
    return hasattr(net, "encode_image")


def _ready(spec: MetricSpec, metric: BuiltMetric | str) -> BuiltMetric:
    if isinstance(metric, BuiltMetric):
        return metric

    def score(*_: Any) -> Any:
        raise CompareError(metric)

    return BuiltMetric(spec, score, None, spec.provenance, columns=(spec.label,))


def parse_metrics(given: Any, every: bool = False) -> list[MetricSpec]:
    """Return the metrics that the caller names.

    Args:
        given: A text such as ``'niqe'`` or ``'mine=niqe:pretrained_model_path=FILE'``; a mapping of label -> None,
            pyiqa's options or a metric object; or a list of these.
        every: Accept metrics that need a reference or rate sets of images.

    Raises:
        CompareError: A name or key is unknown, a label is used twice, or the kind of a metric is not accepted.
    """
    specs = [_find(specification) for specification in parse_specifications(given, "metric")]
    labels = [spec.label for spec in specs]
    for spec in specs:
        if spec.label in ("path", "mos"):
            raise CompareError(f"a metric cannot be called {spec.label!r}, a column of the results: give it a label.")
        if labels.count(spec.label) > 1:
            raise CompareError(f"two metrics are called {spec.label!r}: give one a label, as in 'mine={spec.label}'.")
        if not every and (spec.mode != "NR" or spec.of_sets or spec.kind == "CLIPScore"):
            why = "rates a set of images" if spec.of_sets else "needs a reference image"
            why = "needs a caption for each image" if spec.kind == "CLIPScore" else f"{why}: use `clipiqa table`"
            raise CompareError(f"metric {spec.label!r} does not score single images, since it {why}.")
    return specs


def check_weights(specs: Iterable[MetricSpec], trust_weights: bool = False) -> None:
    """Raise if options name files or URLs that can run code when pyiqa loads them."""
    for spec in specs:
        if spec.options and not _is_ours(spec.kind):
            check_options(spec.options, trust_weights)


def build_or_explain(
    spec: MetricSpec, device: torch.device, seed: int = 0, strict: bool = False, directly: bool = False
) -> BuiltMetric | str:
    try:
        return build_metric(spec, device, seed, directly)
    except Exception as error:
        name = spec.name or "NAME"
        log.error("metric %s cannot be built: %s", spec.label, _as_named(str(error), name))  # all lines of the error
        reason = f"it cannot be built: {_as_named(describe_error(error), name)}{_missing_file(error)}."
        if strict:
            raise CompareError(f"metric {spec.label}: {reason}") from error
        return reason


def build_metric(spec: MetricSpec, device: torch.device, seed: int = 0, directly: bool = False) -> BuiltMetric:
    """Return a metric; ``directly`` builds one of this package without pyiqa, whose import takes seconds."""
    score: Any = spec.made
    with contextlib.redirect_stdout(sys.stderr):  # pyiqa prints what it loads
        if isinstance(score, torch.nn.Module):
            score = score.to(device)
        elif score is None and directly and _is_built_directly(spec):
            score = _create(spec.name, dict(spec.options)).to(device).eval()
        elif score is None and spec.name:
            score = import_pyiqa().create_metric(spec.name, device=device, **spec.options)
        elif score is None:
            score = import_pyiqa(".archs").build_network(dict(spec.options)).to(device).eval()
    net, columns = getattr(score, "net", score), (spec.label,)
    if isinstance(net, CLIPIQA):
        return BuiltMetric(spec, score, net, net.provenance(), _published_name(spec, net), columns)
    if hasattr(net, "encoding"):  # another CLIP metric of this package
        return BuiltMetric(spec, score, net, net.provenance(), "" if spec.options else spec.name, columns)
    provenance = {**spec.provenance, "pyiqa": version("pyiqa")} | ({"seed": str(seed)} if seed else {})
    for key, value in spec.options.items():
        if isinstance(value, str) and os.path.isfile(value):
            provenance[key] = f"{Path(value).name} {hash_file(Path(value))[:8]}"
    state = "" if spec.made is None else _state(net)
    return BuiltMetric(spec, score, None, provenance, "" if spec.options else spec.name, columns, state=state)


def _create(name: Any, options: dict[str, Any]) -> Any:
    if name in MEMBERS:
        return MEMBERS[name](name, **options)
    if name in PUBLISHED and "pretrained_model_path" not in options:
        published = PUBLISHED[name]
        options = {"backbone": published.backbone, "pos_embedding": published.pos_embedding, **options}
    return CLIPIQA(name, **options)


def _state(made: Any) -> str:
    digest, is_empty = hashlib.sha256(repr(type(made)).encode()), True
    for name, value in _values(made):
        if isinstance(value, torch.Tensor | np.ndarray):
            value = np.asarray(torch.as_tensor(value).detach().cpu().double()).tobytes()
        elif not isinstance(value, str | bytes | int | float | bool | tuple | None):
            continue
        is_empty = False
        digest.update(f"{name} {value!r}".encode())
    return f"{_ONCE}{uuid.uuid4().hex}" if is_empty else digest.hexdigest()[:16]


def _values(made: Any) -> Iterator[tuple[str, Any]]:
    for name, value in getattr(made, "__dict__", {}).items():
        if isinstance(value, torch.nn.Module):
            yield from _values(value)
        elif not name.startswith("_"):
            yield name, value
    if isinstance(made, torch.nn.Module):
        yield from made.state_dict().items()
        for child in made.children():
            yield from _values(child)


def describe_error(error: BaseException) -> str:
    if isinstance(error, CLIPIQAError):
        return str(error).partition("\n")[0].rstrip(".")
    return f"{type(error).__name__}: {textwrap.shorten(str(error), 300, placeholder='…')}".rstrip(": .")


def _as_named(text: str, name: str) -> str:
    # options of CLIP belong into the metric's name, in Python and in a shell
    return re.sub(r"\b(backbone|clip_weights)='?(\w+)'?", rf"{name}:\1=\2", text)


def _missing_file(error: BaseException) -> str:
    # after a failed download: a clause about the file to fetch by hand
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    names = [frame.f_code.co_name for frame in frames]
    if "download_url_to_file" not in names:  # torch's function, which pyiqa and torchvision call
        return ""
    download = frames[names.index("download_url_to_file")].f_locals
    text = f"; fetch {download['url']} and save it as {download['dst']}"
    is_option = "load_file_from_url" in names  # pyiqa's function; torchvision's networks have no such option
    return f"{text}, or name a copy (NAME:pretrained_model_path=FILE)" if is_option else text


def _is_ours(kind: str) -> bool:
    # with CLIPIQA_PYIQA_BUILTIN set, pyiqa builds its own class
    registry = import_pyiqa(".utils.registry").ARCH_REGISTRY
    return kind == "CLIPIQA" and registry.get(kind).__module__.startswith("clipiqa_pyiqa.")


def _find(specification: Specification) -> MetricSpec:
    target, entry, known = specification.target, dict(specification.options), pyiqa_configs()
    if not isinstance(target, str):
        return _ready_made(specification)
    where = f"metric {specification.label or target!r}"
    name = target
    if target:
        entry = {"metric_opts": entry}
    else:
        check_keys(entry, _ENTRY, where)
        check_kinds(entry, _ENTRY, where)
        name = entry.get("metric") or specification.label
        if "metric" not in entry and name not in known and (entry.get("metric_opts") or {}).get("type"):
            name = ""
    name = {each.lower(): each for each in known}.get(name.lower(), name)
    if name and name not in known and name not in _DIRECT:
        import_pyiqa()
        raise CompareError(f"unknown metric {name!r}: {nearest(name, known)}")
    options, defaults = entry.get("metric_opts") or {}, known.get(name, {})
    config = {**defaults, **{key: value for key, value in entry.items() if value is not None}}
    usual = defaults.get("metric_opts", {})
    changed = {key: value for key, value in options.items() if key not in usual or usual[key] != value}
    for key, value in changed.items():
        if str(key).endswith("_path") and isinstance(value, str) and "://" not in value:
            changed[key] = os.path.expanduser(value)
            if not os.path.isfile(changed[key]):
                raise CompareError(f"{where}: {key} is {value!r}, but there is no such file.")
    spec = MetricSpec(
        specification.label or _label(name, options),
        name,
        changed,
        bool(config.get("lower_better")),
        str(config.get("score_range") or ""),
        mode=config.get("metric_mode", "NR"),
    )
    if spec.kind == "CLIPIQA":
        check_keys(options, ("type", *signature(CLIPIQA).parameters), f"the options of {spec.label!r}")
        path = changed.get("pretrained_model_path")
        if path is not None and is_head(read_metadata(path)):
            head = read_head(path)
            low, high = head.score_range
            return replace(spec, lower_better=head.lower_better, score_range=f"{low:g}, {high:g}")
    return replace(spec, of_sets=spec.kind in _OF_SETS)


def _ready_made(specification: Specification) -> MetricSpec:
    made = specification.target
    if not callable(made):
        raise CompareError(f"a metric must be a name, options, or a function of images; got {shown(made)}.")
    name = specification.label or getattr(made, "metric_name", type(made).__name__)
    net = getattr(made, "net", made)
    is_ours = hasattr(net, "encoding")  # then pyiqa's wrapper does not know a fitted head
    score_range = getattr(net if is_ours else made, "score_range", None) or ""
    return MetricSpec(
        name,
        name,
        lower_better=bool(getattr(net if is_ours else made, "lower_better", False)),
        score_range=score_range if isinstance(score_range, str) else "{:g}, {:g}".format(*score_range),
        made=made,
        mode=getattr(made, "metric_mode", "NR"),
        of_sets=bool(getattr(made, "of_sets", False)) or type(net).__name__ in _OF_SETS,
    )


def _label(name: str, options: Mapping[str, Any]) -> str:
    texts = [
        f"{key}={value if isinstance(value, str) else json.dumps(value)}"
        for key, value in options.items()
        if not (isinstance(value, str) and os.path.exists(value))
    ]
    return f"{name}:{','.join(texts)}" if texts else name


def _published_name(spec: MetricSpec, net: CLIPIQA) -> str:
    # all published correlations are of OpenAI's weights
    weights = net.clip.weights
    if weights.tag != "openai":
        return ""
    if net.prompt_learner is not None:
        return spec.name if set(spec.options) <= {"precision", "clip_weights"} and spec.made is None else ""
    if net.prompts == PRESETS["pyiqa"] and weights.backbone == "RN50" and net.pos_embedding == "none":
        return ENSEMBLE
    if len(net.prompts) == 1:
        return variant(weights.backbone, net.pos_embedding, net.prompts[0].positive, net.prompts[0].negative)
    return ""
