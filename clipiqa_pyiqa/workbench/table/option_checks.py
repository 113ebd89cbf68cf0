"""Checks that the options of ``table`` fit its metrics, methods and protocol."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from pandas import DataFrame

from ...checks import FilePath
from ...errors import CLIPIQAError
from ..metrics.description import Takes
from ..metrics.kinds import AnyMetric, FileMetric
from ..options import Sizes
from .protocols import Protocol


def check_names(methods: Collection[str], baseline: str, values: Mapping[str, float], protocol: Protocol) -> None:
    if baseline not in methods:
        raise CLIPIQAError(f"the baseline {baseline!r} is not one of the methods: choose one of {', '.join(methods)}.")
    unknown = values.keys() - protocol.values
    if unknown:
        raise CLIPIQAError(f"the protocol's formula has no value {min(unknown)!r}.")


def check_references(metrics: Iterable[AnyMetric], reference: FilePath | None) -> None:
    of_pairs = [metric.label for metric in metrics if metric.needs_reference]
    if of_pairs and reference is None:
        raise CLIPIQAError(
            f"{', '.join(of_pairs)} cannot do without reference images: name their folder in `reference`.",
            options=("reference",),
        )


def check_border(metrics: Iterable[AnyMetric], crop_border: int | None) -> None:
    if crop_border is not None and all(metric.takes is not Takes.PAIR for metric in metrics):
        raise CLIPIQAError(
            "`crop_border` is for full-reference metrics such as psnr-y, and there is none: leave it out.",
            options=("crop_border",),
        )


def check_sizes(sizes: Sizes, protocol: Protocol, metrics: Sequence[AnyMetric]) -> None:
    """Raise ``CLIPIQAError`` if a size limit is set, but something takes whole images only."""
    if not sizes.limits:
        return
    option = next(iter(sizes.limits))
    if protocol.name:
        raise CLIPIQAError(
            f"protocol {protocol.name!r} says which size metrics see: leave out {option}, or write a protocol of "
            "your own with a `view`.",
            options=(option,),
        )
    if all(isinstance(metric, FileMetric) for metric in metrics):
        raise CLIPIQAError(
            f"all scores are in files, so that no image is shrunk: leave out {option}.", options=(option,)
        )
    of_sets = [metric.label for metric in metrics if metric.takes is Takes.FOLDERS]
    if of_sets:
        raise CLIPIQAError(
            f"{', '.join(of_sets)} reads whole images from their folders: leave it out, or {option}.",
            options=(option,),
        )


def check_scores_are_explained(explain: bool, describes_only: bool) -> None:
    """Raise ``CLIPIQAError`` if differences are to be explained, but no image is scored."""
    if explain and describes_only:
        raise CLIPIQAError(
            "`describe` without `out` scores nothing: leave out `explain`.",
            options=("describe", "out", "explain"),
        )


def check_has_published(explain: bool, published: DataFrame | None) -> None:
    """Raise ``CLIPIQAError`` if differences from published numbers are to be explained, but there are none."""
    if explain and published is None:
        raise CLIPIQAError("`explain` needs published numbers in `expect`.", options=("explain", "expect"))
