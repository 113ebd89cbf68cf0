"""``clipiqa compare``: metrics side by side on data sets."""

from __future__ import annotations

import argparse
import logging
import os
import shlex
import sys
from typing import Any

from ..errors import CLIPIQAError
from .options.model import add_decoding_options, prepare_reading
from .options.progress import Bar
from .options.signals import on_interrupt
from .options.wording import tell

FORMATS = ("table", "csv", "markdown", "latex")
EPILOG = """\
A metric is a name of pyiqa's or NAME:KEY=VALUE,… with its options; a data set is a name of pyiqa's, a CSV file of paths
and scores, or a folder without scores. LABEL= in front names either. Correlations are signed so that a good metric is
positive. With --out, per-image scores are kept as they come, and --resume goes on with them; tables, pictures and an
HTML report are written at the end. Exit code: 0 all scored, 1 a metric failed or images were left out, 2 bad usage,
130 interrupted.

examples:
  clipiqa compare -m clipiqa clipiqa+ niqe brisque musiq -d koniq10k-1024 livec tid2013 --data-root DIR --out runs/1
  clipiqa compare -m clipiqa 'dslr=clipiqa:prompts=[quality, sharpness]' -d mine=scores.csv
  clipiqa compare -m niqe:pretrained_model_path=niqe_modelparameters.mat piqe -d photos/
  clipiqa compare -c table1 --data-root DIR --out runs/table1
  torchrun --nproc-per-node 4 --no-python clipiqa compare -c table1 --data-root DIR --out runs/table1
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EPILOG
    what = parser.add_argument_group("what to compare").add_argument
    what("-m", "--metrics", nargs="+", action="extend", metavar="METRIC", help="metrics, as above")
    what("-d", "--data", nargs="+", action="extend", metavar="DATA", help="data sets, as above")
    what("-c", "--config", metavar="FILE", help="a YAML file, or table1, table2, table5; options given here change it")
    what("--data-root", metavar="DIR", help="folder of pyiqa's data sets (default: ./datasets)")
    how = parser.add_argument_group("how").add_argument
    how("--plcc-fit", action="store_true", default=None, help="also PLCC and RMSE after a logistic fit")
    how("--fit-parameters", type=int, choices=(4, 5), help="of that curve: 4, always monotone (default), or VQEG's 5")
    how("--without-mini-photos", action="store_true", default=None, help="leave out photos that mini was trained on")
    how("--bootstrap", type=int, metavar="N", help="resamples for the intervals (default: 1000; 0: none)")
    how("--seed", type=int, metavar="N", help="of the resamples, and of metrics that draw at random (default: 0)")
    how("--published", choices=("paper", "pyiqa"), help="whose values to show where both publish one")
    how("--device", metavar="DEVICE", help="cpu, cuda, cuda:N or mps; default: cuda if there is one, else cpu")
    how("--batch-size", type=int, metavar="N", help="images of equal size that share a pass (default: 8)")
    add_decoding_options(how)
    how("--workers", type=int, metavar="N", help="decoding threads (default: one per core, up to 8)")
    results = parser.add_argument_group("results").add_argument
    results("--out", metavar="DIR", help="folder for per-image scores, tables, pictures and report")
    results("--resume", action="store_true", help="go on with the scores that an earlier run left in --out")
    how("--trust-weights", action="store_true", help="load files and URLs of metrics even if they could run code")
    results("--overwrite", action="store_true", help="drop the scores of these data sets in --out first")
    results("--format", choices=FORMATS, default="table", help="of standard output (default: table)")
    results("--pictures", choices=("png", "svg", "pdf"), default="png", help="of the pictures in --out (default: png)")
    results("--no-report", action="store_true", help="with --out: no pictures and no HTML report")
    results("--quiet", "-q", action="store_true", help="no progress bar")


def run(args: argparse.Namespace) -> int:
    """Compare what the arguments ask for."""
    from ..datasets.specification import read_benchmark

    if args.resume and args.overwrite:
        raise CLIPIQAError("--resume keeps the scores in --out and --overwrite drops them: give one of the two.")
    options = read_benchmark(args.config) if args.config else {}
    names = (
        "data_root",
        "out",
        "published",
        "bootstrap",
        "seed",
        "plcc_fit",
        "fit_parameters",
        "without_mini_photos",
        "batch_size",
        "workers",
        "device",
    )
    options |= {name: value for name in names if (value := getattr(args, name)) is not None}
    metrics, data_sets = args.metrics or options.pop("metrics", None), args.data or options.pop("datasets", None)
    options = {name: value for name, value in options.items() if name not in ("metrics", "datasets")}
    for what, given, option in (("metric", metrics, "-m"), ("data set", data_sets, "-d")):
        if not given:
            raise CLIPIQAError(f"no {what} is asked for: name some with {option}, or in a --config file.")
    if (args.resume or args.overwrite) and not options.get("out"):
        raise CLIPIQAError("--resume and --overwrite need --out, the folder with the scores.")
    try:
        return _compare(args, metrics, data_sets, options)
    except CLIPIQAError:
        if _is_main():
            raise
        return 2  # the main process says it, once


def _compare(args: argparse.Namespace, metrics: Any, data_sets: Any, options: dict[str, Any]) -> int:
    from ..comparison.compare import compare

    prepare_reading(args.huge)
    logging.getLogger("clipiqa_pyiqa").setLevel(logging.ERROR if args.quiet else logging.INFO)
    args.out = out = options.get("out")
    if "device" in options:
        from ..clip.device import find_device

        options["device"] = find_device(options["device"])
    hint = f"--out {out} --resume goes on from here" if out else "nothing was kept, as there is no --out"
    with on_interrupt(hint), Bar(hidden=args.quiet or not _is_main()) as bar:
        comparison = compare(
            metrics, data_sets, **options, resume=args.resume, overwrite=args.overwrite, progress=bar.show,
            trust_weights=args.trust_weights,
            settings={"command": f"clipiqa {shlex.join(sys.argv[1:])}"},
        )  # fmt: skip
    if not _is_main():
        return 0
    if out:
        comparison.save(
            out, report=not args.no_report, pictures=args.pictures
        )  # first, as whoever reads the table may leave
    print(comparison.table(args.format), end="")
    if out:
        tell("compare", f"results are in {out}")
    return 0 if comparison.complete else 1


def _is_main() -> bool:
    """Whether this process speaks for all."""
    return os.environ.get("RANK", "0") == "0"
