"""``clipiqa map``: where photos look good and where they do not."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ..errors.arguments import Images
from .options import model as models
from .options.model import LearnedQuestions, Model
from .options.progress import Bar, note, tell
from .options.tables import aligned

if TYPE_CHECKING:
    from ..maps.results import PhotoMaps


def run(
    paths: list[str],
    questions: LearnedQuestions,
    model: Model,
    images: Images,
    *,
    smooth: bool = True,
    scale: float = 1.0,
    window: int | None = None,
    stride: int | None = None,
    out: Path | None = None,
    pictures: Literal["png", "svg", "pdf"] = "png",
    html: bool = False,
    overwrite: bool = False,
    quiet: bool = False,
) -> int:
    """Where photos look good and where they do not.

    For each photo, --out DIR receives a picture (the photo, and each question's local scores in colour over it) and
    PHOTO.npz with the numbers; --html adds maps.html, one page to look around in. A place is a square of 32 px (a patch
    on vision transformers) that is asked what the whole photo is asked; docs/maps.md says what that means, and what
    not. Exit code: 0 all mapped, 1 some photos failed, 2 bad input, 130 interrupted.

    examples:
      clipiqa map photos/ --prompts sharpness noisiness quality --out maps/ --html
      clipiqa map portrait.jpg --prompts sharpness --window 96 --stride 24 --out maps/ --pictures pdf

    Args:
        paths (PHOTO): files, folders or quoted globs
        questions: what to ask
        model: which CLIP
        images: how files become pixels
        smooth: replace each place by the mean of 3×3 places
        scale: enlarge photos by this factor first, 1 to 8
        window (PX): score squares of this side as photos of their own: exact, slow
        stride (PX): from window to window; by default half the window
        out (-o DIR): folder for pictures and numbers; by default there is only a table
        pictures: of the pictures
        html: also write maps.html, a page that shows the scores of every place
        overwrite: replace what is in --out
        quiet (-q): no progress bar and no summary
    """
    questions.check()
    device = models.start(images, model.backbone or "the model")
    from ..maps.photos import draw_maps

    learned = questions.learned_prompts
    with Bar(unit="photo") as bar:
        found = draw_maps(
            lambda: (
                models.build_learned(model, learned, device)
                if learned is not None
                else models.build_metric(model, None, None, device)
            ),
            paths,
            None if learned is not None else questions.asked(),
            template=questions.template,
            smooth=None if smooth else False,
            scale=scale,
            window=window,
            stride=stride,
            out=out,
            format=pictures,
            html=html,
            overwrite=overwrite,
            progress=partial(bar.show, "maps"),
            device=device,
            **images.keywords(),
        )
    if found.maps:
        print(_table(found))
    for words in found.failed.values():
        tell(words)
    if out is not None and found.maps:
        note(f"results are in {out}")
    return 1 if found.failed else 0


def _table(found: PhotoMaps) -> str:
    """Return a row for each photo and question."""
    from ..files.names import one_line, printable

    rows = [["photo", "question", "score", "worst place", "10th percentile", "below 0.5"]]
    for one in found.maps:
        for question, score, (worst, tenth, share) in zip(one.questions, one.score, one.statistics, strict=True):
            numbers = [f"{score:.4f}", f"{worst:.4f}", f"{tenth:.4f}", f"{100 * share:.0f} %"]
            rows.append([one_line(printable(one.path)), question.name, *numbers])
    return "\n".join(aligned(rows, [True, True, False, False, False, False]))
