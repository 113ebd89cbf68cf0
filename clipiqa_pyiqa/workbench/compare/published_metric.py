"""Names of metrics in the published correlations, and in what their weights differ from those behind the values."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ...errors import PromptError
from ...metric import CLIPIQA
from ...prompts.pairs import PRESETS, parse_prompts
from ...weights.published import OPENAI, published_clip
from ..files.specifications import Settings
from ..metrics.description import ObjectDescription, PyiqaDescription
from ..metrics.kinds import BrokenMetric, ClipMetric, FileMetric, ImageMetric
from ..opinions.published import ENSEMBLE, is_published, variant
from ..results.columns import Record

_OF_THE_NAME = {"backbone", "pos_embedding", "prompts", "template", "precision"}  # options that the name tells


class PublishedMetric(NamedTuple):
    """A metric's name in the published correlations, or empty; and in what its weights differ, or empty."""

    name: str = ""
    difference: str = ""


def published_clipiqa(net: CLIPIQA, name: str, options: Settings, is_object: bool) -> PublishedMetric:
    """Return the published name of a CLIP-IQA; of learned prompts, only those that pyiqa's name loads have one."""
    weights = net.clip.weights
    if net.prompt_learner is None:
        name = _name_of_pairs(weights.backbone, net.pos_embedding, [question.texts for question in net.prompts])
    elif is_object or set(options) - {"precision", "clip_weights"}:
        return PublishedMetric()
    return _with_weights(name, weights.backbone, weights.tag, weights.sha256)


def published_unbuilt_clipiqa(name: str, options: Settings) -> PublishedMetric:
    """Return the published name of a CLIP-IQA that could not be built, as its options tell it."""
    if name != "clipiqa":
        return PublishedMetric("" if options else name)
    if set(options) - _OF_THE_NAME:
        return PublishedMetric()
    try:
        pairs = parse_prompts(options.get("prompts"), options.get("template"))
    except PromptError:
        return PublishedMetric()
    texts = [pair.texts for pair in pairs]
    backbone = options.get("backbone", "RN50")
    return PublishedMetric(_name_of_pairs(backbone, options.get("pos_embedding", "none"), texts))


def published_in_record(record: Record) -> PublishedMetric:
    """Return the published name of a column of an earlier run; none for learned prompts."""
    if record.get("options") == {}:
        return PublishedMetric(str(record["metric"]))
    if record.get("metric") != "clipiqa" or "questions" not in record:
        return PublishedMetric()
    name = _name_of_pairs(record["backbone"], record["pos_embedding"], record["questions"])
    tag, _, digits = str(record.get("weights", "")).rpartition(" ")
    return _with_weights(name, record["backbone"], tag, digits)


def _with_weights(name: str, backbone: str, tag: str, sha256: str) -> PublishedMetric:
    """Return a published name, and whether the weights are OpenAI's, by the digits of the hash that are known."""
    if not is_published(name):
        return PublishedMetric()
    known_hashes = published_clip(backbone).hashes if tag == OPENAI else ()
    if any(_agree(known, sha256) for known in known_hashes):
        return PublishedMetric(name)
    return PublishedMetric(name, f"weights {tag} {sha256[:8]}, whose hash is not that of OpenAI's")


def _agree(first: str, second: str) -> bool:
    """Return whether two hashes, or their first digits, agree as far as both are known."""
    digits = min(len(first), len(second))
    return digits >= 8 and first[:digits] == second[:digits]


def _name_of_pairs(backbone: str, pos_embedding: str, pairs: Iterable[Sequence[str]]) -> str:
    """Return the published name that CLIP-IQA with these pairs of texts may have, or an empty text."""
    texts = [tuple(pair) for pair in pairs]
    if any(len(pair) == 1 for pair in texts):
        return ""  # a single text: its values in Fig. 2(c) stand in no table
    if len(texts) == 1:
        return variant(backbone, pos_embedding, *texts[0])
    is_paper = backbone == "RN50" and pos_embedding == "none"
    return ENSEMBLE if is_paper and texts == [pair.texts for pair in PRESETS["pyiqa"]] else ""


def published_metric(metric: ImageMetric | FileMetric) -> PublishedMetric:
    """Return the metric's name in the published correlations, and in what its weights differ."""
    if isinstance(metric, FileMetric):
        return PublishedMetric()
    description = metric.description
    options = description.options if isinstance(description, PyiqaDescription) else {}
    if isinstance(metric, ClipMetric) and isinstance(metric.net, CLIPIQA):
        is_object = isinstance(description, ObjectDescription)
        return published_clipiqa(metric.net, description.name, options, is_object)
    is_clipiqa = isinstance(description, PyiqaDescription) and description.is_clipiqa
    if isinstance(metric, BrokenMetric) and is_clipiqa:
        return published_unbuilt_clipiqa(description.name, options)
    return PublishedMetric("" if options else description.name)
