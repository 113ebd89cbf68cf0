"""``clipiqa train``: learn the prompts of CLIP-IQA+."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from ...text import counted, one_line
from .options.continuing import on_interrupt
from .options.flags import group_of_command
from .options.groups import Settings
from .options.learning import Learning, creation


@Parameter(name="*", group=group_of_command("Recipe"))
@dataclass(frozen=True)
class Changes:
    """Recipe.

    Args:
        n_ctx: learned context vectors; default: 16, or the tokens of --init words
        shared: learn one context for both texts
        init: first context: the letter x (as in pyiqa), random (as in the authors' code), or words: the pair's own
            texts (as in the paper), which are learned whole
        batch_size: images or crops in a step; default: 8, official 64
        epochs: passes over the images; default: 50, official 727
        lr: learning rate; default: 0.002
        crop: side of random square crops; 0: whole images
        crops: fixed crops per image; default: 4
        seed: seed of context, order and split
    """

    n_ctx: int | None = None
    shared: Annotated[bool | None, Parameter(negative_bool="no-")] = None
    init: Literal["x", "random", "words"] | None = None
    batch_size: int | None = None
    epochs: int | None = None
    lr: Annotated[float | None, Parameter(metavar="RATE")] = None
    crop: int | None = None
    crops: int | None = None
    seed: int = 123


def run(
    scores: Annotated[str, Parameter(metavar="CSV|NAME")],
    /,
    *,
    out: Annotated[Path, Parameter(alias="-o", metavar="DIR")],
    resume: bool = False,
    overwrite: bool = False,
    recipe: Literal["plain", "official", "pyiqa"] = "plain",
    prompts: Annotated[str | None, Parameter(alias="-p", metavar="PAIR")] = None,
    without_mini_photos: bool = False,
    changes: Changes = Changes(),
    learning: Learning = Learning(),
    settings: Settings = Settings(),
) -> int:
    """Learn the prompts of CLIP-IQA+ from scores that people gave.

    examples:
      clipiqa train scores.csv --out runs/mine --range 1 5 --backbone mini
      clipiqa train scores.csv --out runs/mine --prompts 'Detailed photo.|Oversmoothed photo.'

    Args:
        scores: a CSV file of paths and scores, or a data set
        out: folder for learned prompts and log
        resume: continue the stopped run in --out
        overwrite: replace the run in --out
        recipe: plain, the authors' or pyiqa's
        prompts: the pair to learn: a name or 'positive|negative'; default: quality
        without_mini_photos: leave out mini's training photos
        learning.model.backbone: RN50, mini (bundled), … (see `clipiqa weights`); default: RN50
    """
    table = learning.opinions.table(scores, changes.seed)
    options = learning.start()
    from ..learning.correlations import correlations_text
    from ..learning.train import train
    from ..learning.training_files import BEST

    with on_interrupt("--resume continues after the last whole epoch"):
        result = train(
            table,
            out,
            recipe=recipe,
            prompts=prompts,
            resume=resume,
            overwrite=overwrite,
            without_mini_photos=without_mini_photos,
            **vars(changes),
            **learning.model.chosen_options(),
            **options,
        )
    images = result.table.frame["split"].value_counts().to_dict()
    print(
        f"{result.table.name}: trained on {counted(images['train'], 'image')} for "
        f"{counted(result.recipe.epochs, 'epoch')}"
    )
    for split, correlations in result.scores.items():
        shown = counted(images[split], f"{'validation' if split == 'val' else split} image")
        print(f"before training (the words alone), {shown}: {correlations_text(result.before[split])}")
        print(f"best epoch, {shown}: {correlations_text(correlations)}")
    print(f"judgement: {result.judgement}")
    print(f"log: {one_line(str(result.folder / 'log.csv'))}")
    network = {**learning.model.chosen_options(), "pos_embedding": result.metric.pos_embedding}
    best = (result.folder / BEST).resolve()
    print(f"load it with:\n{creation('clipiqa+', pretrained_model_path=str(best), **network)}")
    return 0
