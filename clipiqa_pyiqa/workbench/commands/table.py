"""``clipiqa table``: several methods in one table."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from cyclopts import Group, Parameter

from ...errors import OptionError
from ..files.names_and_values import numbers_by_name
from ..metrics.description import Takes
from .options.flags import RARE
from .options.groups import Settings
from .options.reports import Comparing

TABLE = Group("Table", sort_key=1)


@Parameter(name="*", group=TABLE)
@dataclass(frozen=True)
class Methods:
    """Table.

    Args:
        methods: the methods and the folders of their images
        reference: reference images, for psnr-y, lpips, fid, …
        baseline: method to compare with; default: the first
        protocol: use a paper's metrics and settings; see `clipiqa protocols`
        only: compute only these of the protocol's metrics
        crop_border: pixels to cut off each side before full-reference metrics; default: the protocol's, else 0
        expect: published numbers: a CSV file (a row per method, a column per label), or 'METHOD:
            LABEL=NUMBER …'; or images.csv of an earlier --out, to compute its scores again
        explain: try changes to metrics that may explain why published numbers differ
        skip_missing: leave out images that are not in every folder
        seed: seed of random metrics
        sd: print standard deviations beside the means
    """

    methods: Annotated[Sequence[str], Parameter(metavar="NAME=FOLDER")] = ()
    reference: Annotated[str | None, Parameter(metavar="FOLDER")] = None
    baseline: str | None = None
    protocol: str | None = None
    only: Annotated[Sequence[str], Parameter(metavar="METRIC")] = ()
    crop_border: int | None = None
    expect: Annotated[Sequence[str] | None, Parameter(metavar="PAPER")] = None
    explain: bool = False
    skip_missing: Annotated[bool, Parameter(group=RARE)] = False
    seed: Annotated[int, Parameter(group=RARE)] = 0
    sd: Annotated[bool, Parameter(negative_bool="no-")] = True


def run(
    *,
    options: Methods = Methods(),
    value: Annotated[Sequence[str], Parameter(metavar="NAME=NUMBER", group=TABLE)] = (),
    describe: Annotated[bool, Parameter(group=TABLE)] = False,
    comparing: Comparing = Comparing(),
    settings: Settings = Settings(),
) -> int:
    """Compare several methods in one table: means, best and second best, paired differences.

    A method is NAME=FOLDER. Files match if their paths in the folders are equal without suffix, or if the * of quoted
    patterns matches the same text. If every file lies in a sub-folder, each sub-folder is a test set. A metric is one
    of `clipiqa compare`, or psnr-y, ssim-y, psnr-rgb or ssim-rgb; a metric replaces the protocol's metric of the same
    label. --out receives table.md, table.tex, table.csv, images.csv and report.html. Exit code: 0 all scored, 1 a
    metric failed, an image could not be read, or an expected number differs or has no place in the table, 2 bad usage.

    examples:
      clipiqa table --methods bicubic=out/bicubic ours=out/ours --reference gt/ -m psnr-y niqe clipiqa --out table/
      clipiqa table --methods ours=out/ours --reference gt/ --protocol osediff --expect 'ours: psnr=27.92' --explain

    Args:
        value: a number for the protocol's formula
        describe: print a sentence about each metric, not the table; without --out, no image is scored
    """
    if not options.methods:
        raise OptionError("no method is named: use --methods NAME=FOLDER or a --config file.")
    metrics = comparing.metrics.labelled((Takes.PAIR, Takes.FOLDERS, Takes.NAME))
    if not metrics and options.protocol is None:
        raise OptionError("no metric is named: use -m METRIC, --protocol NAME or a --config file.")
    values = numbers_by_name("value", value)
    if comparing.can_check_names:
        from ..table.names import names_in_tables

        names = names_in_tables(
            options.methods, metrics, options.reference, options.protocol, skip_missing=options.skip_missing
        )
        comparing.tables.check_names(names)
    return comparing.run_and_print("table", metrics=metrics, values=values, describe=describe, **vars(options))
