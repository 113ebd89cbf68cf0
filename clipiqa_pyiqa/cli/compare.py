"""``clipiqa compare``: metrics side by side on data sets."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from ..errors import OptionError
from ..errors.arguments import Machine
from .options.groups import MetricOptions, OutputOptions, start
from .options.terminal import Bar, stored


@dataclass(frozen=True)
class CompareOptions(MetricOptions):
    """Comparison.

    Args:
        data (-d DATA): data sets; see below
        data_root (DIR): folder of pyiqa's data sets; default: ./datasets
        plcc_fit: also compute PLCC (Pearson's correlation) and RMSE after a logistic fit
        fit_parameters: parameters of the fit: 4 (default), or VQEG's 5
        without_mini_photos: leave out mini's training photos
        bootstrap: resamples for the intervals; default: 1000; 0: no intervals
        seed: seed of resamples and random metrics; default: 0
        within (COLUMN): also the mean correlation within the groups that this column names, such as scenes
        published: preferred source of the published values
        batch_size: images of equal size that are scored together; default: 8
    """

    data: list[str] | None = None
    data_root: str | None = None
    plcc_fit: bool = False
    fit_parameters: Literal[4, 5] | None = None
    without_mini_photos: bool = False
    bootstrap: int | None = None
    seed: int | None = None
    within: str | None = None
    published: Literal["paper", "pyiqa"] | None = None
    batch_size: int | None = None


def run(
    machine: Machine,
    kept: OutputOptions,
    comparing: CompareOptions,
    *,
    config: str | None = None,
    format: Literal["table", "csv", "markdown", "latex"] = "table",
) -> int:
    """Compare metrics on data sets, with correlations, intervals and published values.

    A metric is pyiqa's NAME or NAME:KEY=VALUE,…. A data set is pyiqa's name, a CSV file of paths and scores, or a
    folder without scores. LABEL= before a metric or data set names it. A good metric has a positive
    correlation: scores are negated where low is good. Exit code: 0 all scored, 1 a metric failed or images were left
    out, 2 bad usage.

    examples:
      clipiqa compare -m clipiqa clipiqa+ niqe brisque musiq -d koniq10k-1024 livec --data-root DIR --out runs/1
      clipiqa compare -m clipiqa 'dslr=clipiqa:prompts=[quality, sharpness]' -d mine=scores.csv
      clipiqa compare -c table1 --data-root DIR --out runs/table1

    Args:
        config (-c FILE): a YAML file, or the paper's table1, table2 or table5; the command line wins
        format: format of the printed table
    """
    from ..datasets.specification import CONFIG_KEYS
    from ..files.yaml import read_mapping

    given: dict[str, Any] = {**vars(comparing), "workers": machine.workers, "device": machine.device, "out": kept.out}
    given["datasets"] = given.pop("data")
    options = read_mapping(config, CONFIG_KEYS) if config else {}
    options |= {name: value for name, value in given.items() if value is not None and value is not False}
    metrics, data, out = (options.pop(name, None) for name in ("metrics", "datasets", "out"))
    if not metrics or not data:
        raise OptionError(f"no {'data set' if metrics else 'metric'} is named: use -m, -d or a --config file.")
    options["device"] = start(replace(machine, device=options.get("device")))
    options |= replace(kept, out=None if out is None else Path(out)).storage()
    from ..comparison.compare import compare

    with stored(out), Bar() as bar:
        comparison = compare(metrics, data, **options, progress=bar.show)
        if out:
            comparison.save(out)  # before the table: a program that reads the table may end early
        print(comparison.table(format), end="")
    return 0 if comparison.complete else 1
