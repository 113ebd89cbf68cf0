"""Metrics to be compared: any of pyiqa's no-reference ones, as a name, as its own YAML, or ready made."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from inspect import signature
from pathlib import Path
from typing import Any

import torch

from ..datasets.published_correlations import ENSEMBLE, variant
from ..datasets.specification import CompareError, Specification, parse_specifications, yes_or_no
from ..errors import WeightsError, nearest, shown
from ..files.hashes import hash_file
from ..files.yaml import check_keys
from ..metric import CLIPIQA
from ..prompts.heads import is_head, read_head, read_metadata
from ..prompts.pairs import PRESETS
from ..weights.foreign import check_options

ENTRY_KEYS = ("metric", "metric_opts", "metric_mode", "lower_better", "score_range")
RESERVED = ("path", "mos")
_OURS = f"{CLIPIQA.__module__.partition('.')[0]}."
_OF_SETS = ("FID", "InceptionScore")  # pyiqa calls them NR, but they rate a set of images
_PARAMETERS = {  # SHA-256 of the files of parameters that pyiqa publishes: a local copy counts as the metric itself
    "niqe": "c5524212b626e10e67c9512f5283768982744d2bcc561763b8fda450f89dc0d9",
    "brisque": "0e976ea2dcf746a966888565bc754484ec28f7318f60b5ac8080259033f27a37",
}


@dataclass(frozen=True)
class MetricSpec:
    """A metric that was asked for and looked up, not yet built.

    Attributes:
        label: As shown, unique in a comparison.
        name: pyiqa's name; empty if only ``options['type']`` says what it is.
        options: pyiqa's ``metric_opts``, added to those of the name.
        lower_better: Whether a lower score means a better image.
        score_range: As pyiqa states it.
        made: The metric itself, if it was passed ready made.
        mode: ``'NR'``, or ``'FR'`` if it compares an image with its reference.
        of_sets: Whether it rates a set of images as a whole.
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
    def shown(self) -> dict[str, str]:
        """Name and options as text."""
        return {
            "metric": self.name or str(self.options.get("type", "")),
            **{k: str(v) for k, v in self.options.items()},
        }


@dataclass(frozen=True)
class BuiltMetric:
    """A metric that is ready to score.

    Attributes:
        spec: What was asked for.
        score: Images ``(N, 3, H, W)`` in [0, 1], and of a full-reference metric their references -> scores.
        net: Ours, whose encoder can be shared; else None.
        provenance: Which metric exactly.
        published_as: Its name in :mod:`.published`, or empty.
    """

    spec: MetricSpec
    score: Callable[..., Any]
    net: CLIPIQA | None
    provenance: Mapping[str, Any]
    published_as: str

    @property
    def key(self) -> str:
        """Name and a hash of everything that a score depends on: scores under another key are another metric's."""
        said = json.dumps(dict(self.provenance), sort_keys=True)
        return f"{self.provenance['metric']}-{hashlib.sha256(said.encode()).hexdigest()[:16]}"


def parse_metrics(given: Any, every: bool = False) -> list[MetricSpec]:
    """Look up what was asked for.

    Args:
        given: ``'niqe'``, ``'mine=niqe:pretrained_model_path=FILE'``, a mapping of label -> None, pyiqa's options or a
            metric that was made already, or a list of these.
        every: Take metrics that need a reference or rate sets, too.

    Raises:
        CompareError: an unknown name or key, a metric that needs a reference or rates sets, or a label used twice.
    """
    specs = [_look_up(specification, every) for specification in parse_specifications(given, "metric")]
    labels = [spec.label for spec in specs]
    for label in labels:
        if label in RESERVED:
            raise CompareError(f"a metric cannot be called {label!r}, which is a column of its own: give it a label.")
        if labels.count(label) > 1:
            raise CompareError(f"two metrics are called {label!r}: give one a label of its own, as in 'mine={label}'.")
    return specs


def check_weights(specs: Iterable[MetricSpec], trust_weights: bool = False) -> None:
    """Refuse what could run code when pyiqa loads it, before anything is built; ours opens its files safely itself.

    Args:
        specs: Of the metrics.
        trust_weights: Refuse nothing.

    Raises:
        CompareError: A file holds more than tensors and plain values, or a URL is none of pyiqa's own.
    """
    from pyiqa.default_model_configs import DEFAULT_CONFIGS
    from pyiqa.utils.registry import ARCH_REGISTRY

    for spec in specs:
        kind = {**DEFAULT_CONFIGS.get(spec.name, {}).get("metric_opts", {}), **spec.options}.get("type")
        if spec.options and not (kind == "CLIPIQA" and ARCH_REGISTRY.get(kind).__module__.startswith(_OURS)):
            try:
                check_options(spec.options, trust_weights)
            except WeightsError as error:
                raise CompareError(f"metric {spec.label!r}: {error}") from error


def takes_weights(spec: MetricSpec) -> bool:
    """Whether pyiqa's class takes a file of weights as ``pretrained_model_path``."""
    from pyiqa.default_model_configs import DEFAULT_CONFIGS
    from pyiqa.utils.registry import ARCH_REGISTRY

    kind = {**DEFAULT_CONFIGS.get(spec.name, {}).get("metric_opts", {}), **spec.options}.get("type")
    return kind in ARCH_REGISTRY and "pretrained_model_path" in signature(ARCH_REGISTRY.get(kind)).parameters


def build_metric(spec: MetricSpec, device: torch.device, seed: int = 0) -> BuiltMetric:
    """Build a metric; whatever goes wrong in it is raised as it is.

    Args:
        spec: What was asked for.
        device: Where it shall score.
        seed: Of what it may draw at random: with another than the usual one it is another metric. Ours draws nothing.
    """
    with contextlib.redirect_stdout(sys.stderr):  # pyiqa says on standard output what it loads
        score = _made(spec, device)
    net = getattr(score, "net", score)
    if isinstance(net, CLIPIQA):
        return BuiltMetric(spec, score, net, net.provenance(), _our_published_name(spec, net))
    files = {key: Path(value) for key, value in spec.options.items() if isinstance(value, str | Path)}
    hashes = {key: hash_file(path) for key, path in files.items() if os.path.isfile(path)}
    provenance = {**spec.shown, "pyiqa": version("pyiqa")} | ({"seed": str(seed)} if seed else {})
    provenance |= {key: f"{files[key].name} {sha256[:8]}" for key, sha256 in hashes.items()}
    known = not spec.options or (
        list(spec.options) == ["pretrained_model_path"] and _PARAMETERS.get(spec.name) in hashes.values()
    )
    return BuiltMetric(spec, score, None, provenance, spec.name if known else "")


def _look_up(specification: Specification, every: bool) -> MetricSpec:
    from pyiqa.default_model_configs import DEFAULT_CONFIGS

    target = specification.target
    if not isinstance(target, str | Path):
        return _ready(specification, every)
    options = dict(specification.options)
    if target:  # as typed: what follows the name are metric_opts
        name, entry = str(target), {"metric_opts": options}
    else:
        check_keys(options, ENTRY_KEYS, f"metric {specification.label!r}")
        name, entry = str(options.get("metric") or specification.label), options
        if "metric" not in options and name not in DEFAULT_CONFIGS and (entry.get("metric_opts") or {}).get("type"):
            name = ""
    if name and name not in DEFAULT_CONFIGS:
        raise CompareError(f"unknown metric {name!r}: {nearest(name, DEFAULT_CONFIGS if every else _nr_names())}")
    own = entry.get("metric_opts") or {}
    if not isinstance(own, Mapping) or not all(isinstance(key, str) for key in own):
        said = f"metric_opts of {specification.label or name!r} must be a mapping of names to values"
        raise CompareError(f"{said}, but are {own!r:.80}.")
    base = DEFAULT_CONFIGS[name] if name else {}
    given = {**base, **{key: value for key, value in entry.items() if value is not None}}
    label = specification.label or _label(name, own)
    defaults = base.get("metric_opts", {})
    kind = own.get("type", defaults.get("type"))
    if kind == "CLIPIQA":
        check_keys(own, ("type", *signature(CLIPIQA).parameters), f"the options of {label!r}")
    mode = given.get("metric_mode", "NR")
    if mode != "NR" and not every:
        raise CompareError(_needs_reference(label))
    if kind in _OF_SETS and not every:
        raise CompareError(
            f"metric {label!r} rates a set of images, not each image: it cannot be compared here; `clipiqa table` "
            "takes it."
        )
    changed = {
        key: _local(label, key, value) for key, value in own.items() if key not in defaults or defaults[key] != value
    }
    lower_better = yes_or_no(given, "lower_better", f"metric {label!r}")
    path = changed.get("pretrained_model_path")
    if kind == "CLIPIQA" and path is not None and is_head(read_metadata(path)):
        head = read_head(path)
        (low, high), lower_better = head.score_range, head.lower_better
        given["score_range"] = f"{low:g}, {high:g}"
    shown = str(given.get("score_range") or "")
    return MetricSpec(label, name, changed, lower_better, shown, mode=mode, of_sets=kind in _OF_SETS)


def _needs_reference(label: str) -> str:
    return (
        f"metric {label!r} needs a reference image: only no-reference metrics are compared here; `clipiqa table` takes "
        "it, with --reference."
    )


def _ready(specification: Specification, every: bool) -> MetricSpec:
    made = specification.target
    if not callable(made):
        raise CompareError(f"a metric is a name, options, or something to call with images, but {shown(made)} came.")
    name = specification.label or getattr(made, "metric_name", type(made).__name__)
    mode = getattr(made, "metric_mode", "NR")
    if mode != "NR" and not every:
        raise CompareError(_needs_reference(name))
    return MetricSpec(
        name,
        name,  # the label, as nothing else tells apart what was made elsewhere
        lower_better=bool(getattr(made, "lower_better", False)),
        score_range=getattr(made, "score_range", None) or "",
        made=made,
        mode=mode,
        of_sets=bool(getattr(made, "of_sets", False)) or type(getattr(made, "net", made)).__name__ in _OF_SETS,
    )


def _made(spec: MetricSpec, device: torch.device) -> Callable[..., Any]:
    if spec.made is not None:
        return spec.made.to(device) if isinstance(spec.made, torch.nn.Module) else spec.made
    if spec.name:
        import pyiqa

        return pyiqa.create_metric(spec.name, device=device, **spec.options)
    from pyiqa.archs import build_network

    return build_network(dict(spec.options)).to(device).eval()


def _local(label: str, key: str, value: Any) -> Any:
    """An option's value; of a file's path, the path, once the file is there."""
    if not key.endswith("_path") or not isinstance(value, str) or "://" in value:
        return value
    path = Path(value).expanduser()
    if not os.path.isfile(path):
        raise CompareError(f"metric {label!r}: {key} is {value!r}, but there is no such file.")
    return str(path)


def _label(name: str, options: Mapping[str, Any]) -> str:
    """The name, with the options that do not merely say where a file lies."""
    told = [
        f"{key}={value if isinstance(value, str) else json.dumps(value)}"
        for key, value in options.items()
        if not (isinstance(value, str | Path) and os.path.exists(value))
    ]
    return f"{name}:{','.join(told)}" if told else name


def _nr_names() -> list[str]:
    from pyiqa.default_model_configs import DEFAULT_CONFIGS

    return [
        name
        for name, config in DEFAULT_CONFIGS.items()
        if config.get("metric_mode") == "NR" and config["metric_opts"]["type"] not in _OF_SETS
    ]


def _our_published_name(spec: MetricSpec, net: CLIPIQA) -> str:
    """With OpenAI's weights: the variant with one pair, pyiqa's ensemble, or the published learned prompts."""
    if net.clip.weights.tag != "openai":
        return ""
    if net.prompt_learner is not None:
        return spec.name if set(spec.options) <= {"precision", "clip_weights"} and spec.made is None else ""
    backbone = net.clip.weights.backbone
    if net.prompts == PRESETS["pyiqa"] and backbone == "RN50" and net.pos_embedding == "none":
        return ENSEMBLE
    if len(net.prompts) == 1:
        return variant(backbone, net.pos_embedding, net.prompts[0].positive, net.prompts[0].negative)
    return ""
