"""``clipiqa compare``: metrics side by side on data sets."""

from __future__ import annotations

import os
import shlex
import sys
from typing import Any, Literal

from ..errors import CLIPIQAError, OptionError
from ..errors.arguments import Machine
from .options.model import Kept, start
from .options.progress import Bar, note
from .options.signals import on_interrupt


def run(
    machine: Machine,
    kept: Kept,
    *,
    metrics: list[str] | None = None,
    data: list[str] | None = None,
    config: str | None = None,
    data_root: str | None = None,
    plcc_fit: bool = False,
    fit_parameters: Literal[4, 5] | None = None,
    without_mini_photos: bool = False,
    bootstrap: int | None = None,
    seed: int | None = None,
    published: Literal["paper", "pyiqa"] | None = None,
    batch_size: int | None = None,
    trust_weights: bool = False,
    strict: bool = False,
    format: Literal["table", "csv", "markdown", "latex"] = "table",
    pictures: Literal["png", "svg", "pdf"] = "png",
    report: bool = True,
) -> int:
    """Compare metrics on data sets, with correlations, intervals and published values.

    A metric is a name of pyiqa's or NAME:KEY=VALUE,… with its options; a data set is a name of pyiqa's, a CSV file of
    paths and scores, or a folder without scores. LABEL= in front names either. Correlations are signed so that a good
    metric is positive. With --out, per-image scores are kept as they come, and --resume goes on with them; tables,
    pictures and an HTML report are written at the end. Exit code: 0 all scored, 1 a metric failed or images were left
    out, 2 bad usage, 130 interrupted.

    examples:
      clipiqa compare -m clipiqa clipiqa+ niqe brisque musiq -d koniq10k-1024 livec --data-root DIR --out runs/1
      clipiqa compare -m clipiqa 'dslr=clipiqa:prompts=[quality, sharpness]' -d mine=scores.csv
      clipiqa compare -m niqe:pretrained_model_path=niqe_modelparameters.mat piqe -d photos/
      clipiqa compare -c table1 --data-root DIR --out runs/table1
      torchrun --nproc-per-node 4 --no-python clipiqa compare -c table1 --data-root DIR --out runs/table1

    Args:
        machine: where it runs
        kept: results
        metrics (-m METRIC): metrics, as above
        data (-d DATA): data sets, as above
        config (-c FILE): a YAML file, or table1, table2, table5; options given here change it
        data_root (DIR): folder of pyiqa's data sets; by default ./datasets
        plcc_fit: also PLCC and RMSE after a logistic fit
        fit_parameters: of that curve: 4, always monotone (default), or VQEG's 5
        without_mini_photos: leave out photos that mini was trained on
        bootstrap: resamples for the intervals; by default 1000; 0: none
        seed: of the resamples, and of metrics that draw at random; by default 0
        published: whose values to show where both publish one
        batch_size: images of equal size that share a pass; by default 8
        trust_weights: load files and URLs of metrics even if they could run code
        strict: stop before anything is scored where a metric cannot be built
        format: of standard output
        pictures: of the pictures in --out
        report: with --out, draw pictures and write an HTML report
    """
    from ..datasets.specification import read_benchmark

    options: dict[str, Any] = {"data_root": data_root, "out": kept.out, "published": published, "bootstrap": bootstrap}
    options |= {"seed": seed, "plcc_fit": plcc_fit or None, "batch_size": batch_size}
    options |= {"fit_parameters": fit_parameters, "without_mini_photos": without_mini_photos or None}
    options |= {"workers": machine.workers, "device": machine.device, "metrics": metrics, "datasets": data}
    given = {name: value for name, value in options.items() if value is not None}
    options = {**(read_benchmark(config) if config else {}), **given}
    metrics, data = options.pop("metrics", None), options.pop("datasets", None)
    out = options.get("out")
    for what, names, option in (("metric", metrics, "-m"), ("data set", data, "-d")):
        if not names:
            raise OptionError(f"no {what} is asked for: name some with {option}, or in a --config file.")
    if kept.resume and kept.overwrite:
        raise OptionError("resume keeps the scores in out and overwrite drops them: give one of the two.")
    if (kept.resume or kept.overwrite) and not out:
        raise OptionError("resume and overwrite need out, the folder with the scores.")
    is_main = os.environ.get("RANK", "0") == "0"  # the process that speaks for all
    hint = f"--out {out} --resume goes on from here" if out else "nothing was kept, as there is no --out"
    try:
        options["device"] = start(Machine(options.get("device"), threads=machine.threads, huge=machine.huge), "metrics")
        from ..comparison.compare import compare

        with on_interrupt(hint), Bar(shown=None if is_main else False) as bar:
            comparison = compare(
                metrics,
                data,
                **options,
                resume=kept.resume,
                overwrite=kept.overwrite,
                progress=bar.show,
                trust_weights=trust_weights,
                strict=strict,
                settings={"command": f"clipiqa {shlex.join(sys.argv[1:])}"},
            )
    except CLIPIQAError:
        if is_main:
            raise
        return 2  # the main process says it, once
    if not is_main:
        return 0
    if out:
        comparison.save(out, report=report, pictures=pictures)  # first, as whoever reads the table may leave
    print(comparison.table(format), end="")
    if out:
        note(f"results are in {out}")
    return 0 if comparison.complete else 1
