"""``clipiqa sweep``: score images that change in steps."""

from collections.abc import Sequence
from typing import Annotated

from cyclopts import Parameter

from .options.groups import Settings
from .options.reports import Experiment
from .options.running import check_inputs


def run(
    *paths: Annotated[str, Parameter(metavar="IMAGE", required=True)],
    changes: Annotated[Sequence[str], Parameter(metavar="CHANGE")] = (),
    steps: int = 9,
    scales: Sequence[float] = (),
    sample: Annotated[int | None, Parameter(metavar="N")] = None,
    seed: int = 0,
    data_root: Annotated[str | None, Parameter(metavar="DIR")] = None,
    experiment: Experiment = Experiment(),
    settings: Settings = Settings(),
) -> int:
    """Test whether scores follow brightness, noise, colour, sharpness and contrast, changed in steps (paper's Fig. 4).

    The table has Spearman's correlation between score and step for each change and scale. Each change asks the question
    of the same name.

    examples:
      clipiqa sweep photos/ --changes brightness sharpness --steps 15 --scales 1 0.5 0.25 --out sweep/
      clipiqa sweep koniq10k-1024:split=test --sample 200 --seed 0 -c fig4 --data-root DIR

    Args:
        paths: images, folders, quoted globs, or a data set: NAME or FILE.csv[:split=SPLIT]
        changes: changes to make, each asks its own question; default: brightness noisiness colorfulness
            sharpness contrast
        steps: steps, from the least to the most of the attribute
        scales: factors that resize images first; default: 1 and 0.5
        sample: draw this many of the images at random; default: all
        seed: seed of the sample
        data_root: folder of pyiqa's data sets; default: ./datasets
        experiment.metrics.questions.prompts: named pairs (see `clipiqa prompts`), presets, 'positive|negative', or
            'single:text'; default: those of --changes
    """
    from ..experiments.sampled_files import names_data_set

    check_inputs([path for path in paths if not names_data_set(path)])
    changed_options = {name: value for name, value in {"changes": changes, "scales": scales}.items() if value}
    sampling = {"sample": sample, "seed": seed, "data_root": data_root}
    return experiment.run_and_print("sweep", paths=list(paths), steps=steps, **sampling, **changed_options)
