"""Sentences on how a metric was computed, for a paper's appendix."""

from collections.abc import Mapping

from pandas import DataFrame

from ...prompts.provenance import files_text
from ..files.specifications import Settings
from ..metrics.description import PyiqaDescription, Takes
from ..metrics.kinds import ClipMetric, FileMetric, ImageMetric
from ..options import Sizes
from ..report.csv_text import csv_table
from ..report.latex import latex
from ..report.markdown import markdown_list
from ..results.columns import Record
from ..results.record_text import described

_PROMPTS = {
    0: "a fitted head",
    1: "one prompt pair (most restoration papers use pyiqa's five: clipiqa:prompts=pyiqa)",
    5: "five prompt pairs",
}
_Y = {  # of pyiqa's colour spaces
    "ycbcr": "on Y of YCbCr as MATLAB's rgb2ycbcr has it (16 to 235)",
    "yiq": "on Y of YIQ (0 to 255; super-resolution papers use psnr-y and ssim-y)",
}


def appendix(sentences: Mapping[str, str], format: str) -> str:
    """Return label -> sentence as text: lines, a list in Markdown or LaTeX, or CSV."""
    if format == "csv":
        return csv_table(DataFrame(sentences.items(), columns=["metric", "sentence"]))
    lines = [f"{label}: {sentence}" for label, sentence in sentences.items()]
    if format == "markdown":
        return f"{markdown_list(lines)}\n"
    if format == "latex":
        lines = [r"\begin{itemize}", *(rf"\item {latex(line)}" for line in lines), r"\end{itemize}"]
    return "".join(f"{line}\n" for line in lines)


def metric_sentence(metric: ImageMetric | FileMetric) -> str:
    """Return how a metric was computed: its name, weights, prompts or options, and what it sees of an image."""
    record = metric.columns[0].record
    if isinstance(metric, FileMetric):
        return f"{record.get('metric', metric.label)} as {metric.path} has it."
    words = described(metric.columns)
    options = metric.description.options if isinstance(metric.description, PyiqaDescription) else {}
    is_on_clip = isinstance(metric, ClipMetric)
    parts = _clip_parts(record, words) if is_on_clip else _pyiqa_parts(record, words, options)
    parts += [
        _files(record, words),
        f"version {record['metric_version']}" if record.get("metric_version") else "",
        _channel(metric.description.name, options),
        "" if metric.takes is Takes.FOLDERS else _seen(record),
        words.get("precision", "fp32"),
    ]
    return f"{', '.join(filter(None, parts))}."


def _clip_parts(record: Record, words: Mapping[str, str]) -> list[str]:
    """Return name, prompts and weights of a metric on CLIP."""
    return [
        f"clipiqa-pyiqa {words['version']} {words['metric']}",
        record.get("view", _prompts(record)),  # only this package's other CLIP metrics have a view
        f"{words['backbone']} {words['weights']}",
    ]


def _prompts(record: Record) -> str:
    questions = record.get("questions", ())
    if questions and len(questions[0]) == 1:
        return "one text (its cosine)"
    if record.get("learned"):
        return "learned prompts"
    return _PROMPTS.get(len(questions), f"{len(questions)} prompt pairs")


def _pyiqa_parts(record: Record, words: Mapping[str, str], options: Settings) -> list[str]:
    """Return name and options of a metric of pyiqa, or of an object."""
    maker = f"pyiqa {words['pyiqa']} " if "pyiqa" in words else ""
    used = [f"{key} {value}" for key, value in options.items() if value == record["options"][key]]
    return [maker + words["metric"], *used]


def _files(record: Record, words: Mapping[str, str]) -> str:
    """Return the file or files that hold what was learned, with the beginning of the hash of one."""
    learned = record.get("learned") or record.get("head") or {}
    digest = learned.get("sha256") or record.get("file_sha256")
    return f"{words.get('file', 'content')} {digest[:8]}" if digest else files_text(record)


def _channel(name: str, options: Settings) -> str:
    """Return the colour channel on which PSNR or SSIM is computed; empty for other metrics."""
    is_on_y = options.get("test_y_channel", name in ("psnry", "ssim"))
    if is_on_y and name in ("psnr", "psnry", "ssim"):
        return _Y.get(options.get("color_space", "yiq"), "")
    return "on RGB" if name in ("psnr", "ssimc") else ""


def _seen(record: Record) -> str:
    """Return which part of images a metric sees, and how far they were shrunk before."""
    sizes = Sizes(record.get("max_side"), record.get("max_pixels"))
    part = record.get("seen", "")
    if not sizes.limits:
        return part or "whole images"
    return ", ".join(filter(None, [f"images shrunk {sizes.limits_text}", part]))
