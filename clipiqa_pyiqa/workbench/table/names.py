"""Names that tables may have, as far as they are known before images are scored."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from ...checks import FilePath
from ..metrics.kinds import AnyMetric
from .chosen_metrics import table_metrics
from .method_images import match_images, parse_methods
from .protocols import NO_PROTOCOL, read_protocol
from .tables import HEADINGS


def names_in_tables(
    methods: Iterable[str],
    metrics: Sequence[AnyMetric],
    reference: FilePath | None,
    protocol: str | Path | None,
    *,
    skip_missing: bool,
) -> list[str]:
    """Return the names of methods, test sets and metrics, and the headings; options as in ``table``."""
    rules = NO_PROTOCOL if protocol is None else read_protocol(protocol)
    folders = parse_methods(methods)
    test_sets = match_images(folders, reference, rules, skip_missing=skip_missing).test_sets.unique()
    labels = [metric.label for metric in table_metrics(metrics, rules).metrics]
    names = [*folders, *test_sets, *labels, *rules.not_computed, rules.score, *HEADINGS]
    return [name for name in names if name]  # a single test set has none, nor has a protocol without a formula
