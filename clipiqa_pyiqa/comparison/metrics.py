"""Metrics of a comparison, from pyiqa's names, configurations or metric objects."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import sys
import textwrap
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from inspect import signature
from pathlib import Path
from typing import Any

import torch

from ..datasets.published_correlations import ENSEMBLE, variant
from ..datasets.specification import CompareError, Specification, check_kinds, parse_specifications
from ..errors import CLIPIQAError, nearest, shown
from ..files.hashes import hash_file
from ..files.yaml import check_keys
from ..metric import CLIPIQA
from ..prompts.heads import is_head, read_head, read_metadata
from ..prompts.pairs import PRESETS
from ..weights.foreign import check_options

_ENTRY: dict[str, tuple[type, ...]] = {
    **{"metric": (str,), "metric_opts": (Mapping,), "metric_mode": (str,), "lower_better": (bool,)},
    "score_range": (str,),
}
_OF_SETS = ("FID", "InceptionScore")  # their mode in pyiqa is NR, but they rate a set of images
log = logging.getLogger("clipiqa_pyiqa")


@dataclass(frozen=True)
class MetricSpec:
    """A metric before it is built.

    Attributes:
        name: pyiqa's name of the metric; empty if ``options['type']`` names the class.
        options: Changes to pyiqa's ``metric_opts``.
        made: The metric object that the caller passed, or None.
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
        """The name of pyiqa's class."""
        return str({**_known().get(self.name, {}).get("metric_opts", {}), **self.options}.get("type", ""))

    @property
    def provenance(self) -> dict[str, str]:
        return {"metric": self.name or self.kind, **{key: str(value) for key, value in self.options.items()}}


@dataclass(frozen=True)
class BuiltMetric:
    """A metric that is ready to score.

    Attributes:
        score: Function of images ``(N, 3, H, W)`` in [0, 1] and, in ``'FR'`` mode, references.
        net: CLIP metric of this package, or None.
    """

    spec: MetricSpec
    score: Callable[..., Any]
    net: Any
    provenance: Mapping[str, Any]
    published_as: str

    @property
    def key(self) -> str:
        """Name of the metric and hash of its provenance."""
        provenance = json.dumps(dict(self.provenance), sort_keys=True)
        return f"{self.provenance['metric']}-{hashlib.sha256(provenance.encode()).hexdigest()[:16]}"


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
        if not every and (spec.mode != "NR" or spec.of_sets):
            why = "rates a set of images" if spec.of_sets else "needs a reference image"
            raise CompareError(f"metric {spec.label!r} {why} and cannot be compared here; use `clipiqa table`.")
    return specs


def check_weights(specs: Iterable[MetricSpec], trust_weights: bool = False) -> None:
    """Raise if options name files or URLs that can run code when pyiqa loads them."""
    for spec in specs:
        if spec.options and not _is_ours(spec.kind):
            check_options(spec.options, trust_weights)


def build_or_explain(spec: MetricSpec, device: torch.device, seed: int = 0, strict: bool = False) -> BuiltMetric | str:
    """Return the metric, or the reason why it cannot be built; raise if ``strict``."""
    try:
        return build_metric(spec, device, seed)
    except Exception as error:
        log.error("metric %s cannot be built: %s", spec.label, error)  # the log gets all lines of the error
        reason = f"it cannot be built: {describe_error(error)}{_missing_file(error)}."
        if strict:
            raise CompareError(f"metric {spec.label}: {reason}") from error
        return reason


def build_metric(spec: MetricSpec, device: torch.device, seed: int = 0) -> BuiltMetric:
    score: Any = spec.made
    with contextlib.redirect_stdout(sys.stderr):  # pyiqa prints what it loads
        if isinstance(score, torch.nn.Module):
            score = score.to(device)
        elif score is None and spec.name:
            import pyiqa

            score = pyiqa.create_metric(spec.name, device=device, **spec.options)
        elif score is None:
            from pyiqa.archs import build_network

            score = build_network(dict(spec.options)).to(device).eval()
    net = getattr(score, "net", score)
    if isinstance(net, CLIPIQA):
        return BuiltMetric(spec, score, net, net.provenance(), _published_name(spec, net))
    if hasattr(net, "encoding"):  # another CLIP metric of this package
        return BuiltMetric(spec, score, net, net.provenance(), "" if spec.options else spec.name)
    provenance = {**spec.provenance, "pyiqa": version("pyiqa")} | ({"seed": str(seed)} if seed else {})
    for key, value in spec.options.items():
        if isinstance(value, str) and os.path.isfile(value):
            provenance[key] = f"{Path(value).name} {hash_file(Path(value))[:8]}"
    return BuiltMetric(spec, score, None, provenance, "" if spec.options else spec.name)


def describe_error(error: BaseException) -> str:
    if isinstance(error, CLIPIQAError):
        return str(error).partition("\n")[0].rstrip(".")
    return f"{type(error).__name__}: {textwrap.shorten(str(error), 300, placeholder='…')}".rstrip(": .")


def _missing_file(error: BaseException) -> str:
    # after a failed download: a clause about the file to fetch by hand
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    names = [frame.f_code.co_name for frame in frames]
    if "download_url_to_file" not in names:  # torch's function, which pyiqa and torchvision call
        return ""
    download = frames[names.index("download_url_to_file")].f_locals
    text = f"; fetch {download['url']} and save it as {download['dst']}"
    is_option = "load_file_from_url" in names  # pyiqa's function; torchvision's networks have no such option
    return f"{text}, or name a copy (pretrained_model_path=FILE)" if is_option else text


def _is_ours(kind: str) -> bool:
    # with CLIPIQA_PYIQA_BUILTIN set, pyiqa builds its own class
    from pyiqa.utils.registry import ARCH_REGISTRY

    return kind == "CLIPIQA" and ARCH_REGISTRY.get(kind).__module__.startswith("clipiqa_pyiqa.")


def _known() -> Mapping[str, Any]:
    from pyiqa.default_model_configs import DEFAULT_CONFIGS

    return DEFAULT_CONFIGS


def _find(specification: Specification) -> MetricSpec:
    target, entry, known = specification.target, dict(specification.options), _known()
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
    if name and name not in known:
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
