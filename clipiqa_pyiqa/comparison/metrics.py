"""Metrics to be compared: any of pyiqa's no-reference ones, as a name, as its own YAML, or ready made."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from inspect import signature
from pathlib import Path
from typing import Any

import torch

from ..datasets.published_correlations import ENSEMBLE, variant
from ..datasets.specification import CompareError, Specification, check_kinds, parse_specifications
from ..errors import WeightsError, nearest, shown
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
    def kind(self) -> str:
        """The name of pyiqa's class."""
        return str({**_known().get(self.name, {}).get("metric_opts", {}), **self.options}.get("type", ""))

    @property
    def shown(self) -> dict[str, str]:
        """Name and options as text."""
        return {"metric": self.name or self.kind, **{key: str(value) for key, value in self.options.items()}}


@dataclass(frozen=True)
class BuiltMetric:
    """A metric that is ready to score.

    Attributes:
        spec: What was asked for.
        score: Images ``(N, 3, H, W)`` in [0, 1], and of a full-reference metric their references -> scores.
        net: Ours, a ``CLIPIQA`` or a metric of the family, whose encoding can be shared; else None.
        provenance: Which metric exactly.
        published_as: Its name in :mod:`.published`, or empty.
    """

    spec: MetricSpec
    score: Callable[..., Any]
    net: Any
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
        CompareError: An unknown name or key, a metric that needs a reference or rates sets, or a label used twice.
    """
    specs = [_look_up(specification) for specification in parse_specifications(given, "metric")]
    labels = [spec.label for spec in specs]
    for spec in specs:
        if spec.label in ("path", "mos"):
            raise CompareError(f"a metric cannot be called {spec.label!r}, a column of its own: give it a label.")
        if labels.count(spec.label) > 1:
            raise CompareError(f"two metrics are called {spec.label!r}: give one a label, as in 'mine={spec.label}'.")
        if not every and (spec.mode != "NR" or spec.of_sets):
            why = "rates a set of images" if spec.of_sets else "needs a reference image"
            raise CompareError(f"metric {spec.label!r} {why} and cannot be compared here; `clipiqa table` takes it.")
    return specs


def check_weights(specs: Iterable[MetricSpec], trust_weights: bool = False) -> None:
    """Refuse what could run code when pyiqa loads it, before anything is built; our class opens its files safely.

    Args:
        specs: Of the metrics.
        trust_weights: Refuse nothing.

    Raises:
        CompareError: A file holds more than tensors and plain values, or a URL is none of pyiqa's own.
    """
    for spec in specs:
        if spec.options and not _is_ours(spec.kind):
            try:
                check_options(spec.options, trust_weights)
            except WeightsError as error:
                raise CompareError(f"metric {spec.label!r}: {error}") from error


def build_metric(spec: MetricSpec, device: torch.device, seed: int = 0) -> BuiltMetric:
    """Build a metric; whatever goes wrong in it is raised as it is.

    Args:
        spec: What was asked for.
        device: Where it shall score.
        seed: Of what it may draw at random: with another than the usual one it is another metric. Ours draws nothing.
    """
    score: Any = spec.made
    with contextlib.redirect_stdout(sys.stderr):  # pyiqa says on standard output what it loads
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
        return BuiltMetric(spec, score, net, net.provenance(), _our_published_name(spec, net))
    if getattr(net, "takes_captions", False):
        raise CompareError(f"{spec.label!r} needs a caption for each image and cannot be compared here")
    if hasattr(net, "encoding"):  # of the family
        return BuiltMetric(spec, score, net, net.provenance(), "" if spec.options else spec.name)
    files = {
        key: Path(value) for key, value in spec.options.items() if isinstance(value, str) and os.path.isfile(value)
    }
    hashes = {key: hash_file(path) for key, path in files.items()}
    provenance = {**spec.shown, "pyiqa": version("pyiqa")} | ({"seed": str(seed)} if seed else {})
    provenance |= {key: f"{files[key].name} {sha256[:8]}" for key, sha256 in hashes.items()}
    known = not spec.options or (
        list(spec.options) == ["pretrained_model_path"] and _PARAMETERS.get(spec.name) in hashes.values()
    )
    return BuiltMetric(spec, score, None, provenance, spec.name if known else "")


def _is_ours(kind: str) -> bool:
    """Return whether pyiqa builds our CLIPIQA under this name; CLIPIQA_PYIQA_BUILTIN gives it back to pyiqa's own."""
    from pyiqa.utils.registry import ARCH_REGISTRY

    return kind == "CLIPIQA" and ARCH_REGISTRY.get(kind).__module__.startswith("clipiqa_pyiqa.")


def _known() -> Mapping[str, Any]:
    from pyiqa.default_model_configs import DEFAULT_CONFIGS

    return DEFAULT_CONFIGS


def _look_up(specification: Specification) -> MetricSpec:
    target, options, known = specification.target, dict(specification.options), _known()
    if not isinstance(target, str | Path):
        return _ready(specification)
    where = f"metric {specification.label or str(target)!r}"
    if target:  # as typed: what follows the name are metric_opts
        name, entry = str(target), {"metric_opts": options}
    else:
        check_keys(options, _ENTRY, where)
        check_kinds(options, _ENTRY, where)
        name, entry = options.get("metric") or specification.label, options
        if "metric" not in options and name not in known and (options.get("metric_opts") or {}).get("type"):
            name = ""
    name = {each.lower(): each for each in known}.get(name.lower(), name)
    if name and name not in known:
        raise CompareError(f"unknown metric {name!r}: {nearest(name, known)}")
    own, base = entry.get("metric_opts") or {}, known.get(name, {})
    defaults = base.get("metric_opts", {})
    given = {**base, **{key: value for key, value in entry.items() if value is not None}}
    label = specification.label or _label(name, own)
    changed = {key: value for key, value in own.items() if key not in defaults or defaults[key] != value}
    for key, value in changed.items():
        if str(key).endswith("_path") and isinstance(value, str) and "://" not in value:
            changed[key] = os.path.expanduser(value)
            if not os.path.isfile(changed[key]):
                raise CompareError(f"{where}: {key} is {value!r}, but there is no such file.")
    lower_better, score_range = bool(given.get("lower_better")), str(given.get("score_range") or "")
    spec = MetricSpec(label, name, changed, lower_better, score_range, mode=given.get("metric_mode", "NR"))
    if spec.kind == "CLIPIQA":
        check_keys(own, ("type", *signature(CLIPIQA).parameters), f"the options of {label!r}")
        path = changed.get("pretrained_model_path")
        if path is not None and is_head(read_metadata(path)):
            head = read_head(path)
            low, high = head.score_range
            return replace(spec, lower_better=head.lower_better, score_range=f"{low:g}, {high:g}")
    return replace(spec, of_sets=spec.kind in _OF_SETS)


def _ready(specification: Specification) -> MetricSpec:
    made = specification.target
    if not callable(made):
        raise CompareError(f"a metric is a name, options, or something to call with images; got {shown(made)}.")
    name = specification.label or getattr(made, "metric_name", type(made).__name__)
    return MetricSpec(
        name,
        name,  # the label, as nothing else tells apart what was made elsewhere
        lower_better=bool(getattr(made, "lower_better", False)),
        score_range=getattr(made, "score_range", None) or "",
        made=made,
        mode=getattr(made, "metric_mode", "NR"),
        of_sets=bool(getattr(made, "of_sets", False)) or type(getattr(made, "net", made)).__name__ in _OF_SETS,
    )


def _label(name: str, options: Mapping[str, Any]) -> str:
    """Return the name, with the options that do not merely say where a file lies."""
    told = [
        f"{key}={value if isinstance(value, str) else json.dumps(value)}"
        for key, value in options.items()
        if not (isinstance(value, str) and os.path.exists(value))
    ]
    return f"{name}:{','.join(told)}" if told else name


def _our_published_name(spec: MetricSpec, net: CLIPIQA) -> str:
    """Return, with OpenAI's weights: the variant with one pair, pyiqa's ensemble, or the published learned prompts."""
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
