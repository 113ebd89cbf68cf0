"""Maps of photos: scores of their places, as tensors, as results and in files."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Unpack

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from ..errors import CLIPIQAError, FilePath, ImageError, ScoringOptions, checked, first_of
from ..files.names import file_name, free_name, printable
from ..files.writing import check_folder, write_text
from ..images.batches import images_at_once, processed, stacked
from ..images.image import Image, NoImage
from ..images.memory import scoring_bytes
from ..images.reader import ImageRecord
from ..metric import CLIPIQA, net_of
from ..prompts.pairs import Columns, PromptPair, Prompts, parse_columns
from ..scoring.score import Paths, ScoringSetup
from ..sources.finding import find_shards, sources_of

PAGE = "maps.html"
Format = Literal["png", "svg", "pdf"]
MAX_SCALE = 8


@dataclass(frozen=True)
class Question:
    """A column of scores, and the texts at both ends of its scale."""

    name: str
    low: str = "low"
    high: str = "high"


@dataclass(frozen=True)
class PhotoMap:
    """Local scores of one photo.

    Attributes:
        score: Scores of the whole photo, ``(P,)``.
        scores, places: Scores of places, ``(P, h, w)``, after smoothing (``scores``) and before (``places``).
        step: Side of a place, in pixels.
    """

    path: str
    questions: tuple[Question, ...]
    score: NDArray[np.float32]
    scores: NDArray[np.float32]
    places: NDArray[np.float32]
    height: int
    width: int
    step: float
    provenance: Mapping[str, Any]


@dataclass
class PhotoMaps:
    """Maps of photos.

    Attributes:
        failed: Photo without a map -> reason.
    """

    provenance: Mapping[str, Any]
    maps: list[PhotoMap] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


@checked
def quality_map(
    metric: CLIPIQA,
    x: Tensor,
    prompts: Prompts | Columns = None,
    *,
    smooth: bool = True,
    upsample: bool = False,
    scale: float = 1.0,
) -> Tensor:
    """Return scores of the places of images, smoothed for viewing.

    Args:
        x: RGB ``(N, 3, H, W)`` in [0, 1].
        smooth: average each place with its eight neighbours.
        upsample: enlarge the map to the image's size.
        scale: factor, 1 to 8, by which the images are enlarged first; places get smaller.

    Returns:
        ``(N, P, h, w)`` in [0, 1], a map for each question; ``(N, P, H, W)`` with ``upsample``.
    """
    check_scale(scale)
    scores = metric.score_map(enlarged(x, scale), prompts)
    scores = smoothed(scores) if smooth else scores
    return upsampled(scores, (x.shape[2], x.shape[3]), metric.clip.cell / scale) if upsample else scores


def check_scale(scale: float) -> None:
    if not 1 <= scale <= MAX_SCALE:
        raise CLIPIQAError(f"scale must be from 1 to {MAX_SCALE}; got {scale!r}.")


def enlarged(x: Tensor, scale: float) -> Tensor:
    if scale == 1:
        return x
    size = [round(side * scale) for side in x.shape[2:]]
    return F.interpolate(x, size=size, mode="bicubic", align_corners=False).clamp_(0, 1)


def smoothed(scores: Tensor) -> Tensor:
    return F.avg_pool2d(scores, 3, 1, 1, count_include_pad=False)


def upsampled(scores: Tensor, size: tuple[int, int], cell: float) -> Tensor:
    """Return maps ``(N, P, h, w)`` enlarged to the image's size, bilinearly between places of ``cell`` pixels."""
    bordered = F.pad(scores, (0, 2, 0, 2), mode="replicate")  # for the pixels after the last whole place
    height, width = size
    return F.interpolate(bordered, scale_factor=cell, mode="bilinear", align_corners=False)[..., :height, :width]


@checked
def draw_maps(
    metric: Any,
    paths: Paths,
    prompts: Prompts | Mapping[str, Sequence[PromptPair]] = "quality",
    *,
    template: str | None = None,
    smooth: bool = True,
    scale: float = 1.0,
    out: FilePath | None = None,
    format: Format = "png",
    html: bool = False,
    overwrite: bool = False,
    progress: Callable[[int, int], object] = lambda done, total: None,
    **options: Unpack[ScoringOptions],
) -> PhotoMaps:
    """Return maps of photos, and write them to ``out``; each photo is encoded once.

    Args:
        metric: A ``CLIPIQA``, a metric of ``pyiqa.create_metric``, or a function that makes a metric.
        paths: Photos, folders or globs.
        prompts: Questions, a map for each; None means the metric's own prompts.
        smooth, scale: As for :func:`~clipiqa_pyiqa.maps.quality_map`.
        format: Format of pictures: ``'png'``, ``'svg'`` or ``'pdf'``.
        options: Options of reading and scoring, as for :func:`~clipiqa_pyiqa.score_paths`.
    """
    check_scale(scale)
    if html and out is None:
        raise CLIPIQAError("`html` needs a folder: pass `out`, too.")
    columns = None if prompts is None else parse_columns(prompts, template)
    items, names, problems = find_shards(paths, archives=False).items, list[str](), list[str]()
    for source in sources_of(items):  # and again below, so that only what is read ahead is in memory
        names.append(source.name)
        problems += [source.problem] if isinstance(source, NoImage) else []
    if len(problems) == len(names):
        raise ImageError(f"{first_of(problems or ['paths has no photos'])}: there is nothing to map.")
    taken = {"maps": 1}
    files = {path: free_name(file_name(printable(Path(path).stem)), taken) for path in dict.fromkeys(names)}
    if out is not None:
        written = [f"{name}.{suffix}" for name in files.values() for suffix in (format, "npz")]
        check_folder(out, [*written, *([PAGE] if html else [])], overwrite=overwrite, inputs=names)
    net: CLIPIQA = net_of(metric)
    net.encode_prompts(columns)  # raises for prompts that cannot be used, before any photo is read
    net.check_map()
    if columns is None and net.prompt_learner is None:
        columns = parse_columns(list(net.prompts))  # one map for each prompt, even if the metric averages prompts
    asked: Mapping[str, Sequence[PromptPair]] = dict.fromkeys(net.columns, ()) if columns is None else columns
    questions = tuple(
        Question(name, pairs[0].negative, pairs[0].positive) if len(pairs) == 1 else Question(name)
        for name, pairs in asked.items()
    )
    setup = ScoringSetup(net, columns, **options)
    device = setup.device
    size = f"places of {net.clip.cell} px" + (", each the mean of 3×3" if smooth else "")
    found = PhotoMaps({**setup.head.provenance, "map": size, "scale": scale})

    def scored(items: list[Image], records: list[ImageRecord]) -> list[PhotoMap | str]:
        with torch.no_grad():
            x = stacked([record.pixels for record in records], device)
            if scale == 1:
                score, places = (net.score(features, columns) for features in net.encode_with_map(x))
            else:  # scores the photo without enlargement
                score = net.score(net.encode_image(x), columns)
                places = net.score(net.encode_map(enlarged(x, scale)), columns)
            shown = smoothed(places) if smooth else places
        parts = zip(items, *(part.float().cpu().numpy() for part in (score, shown, places)), strict=True)
        known = (*x.shape[2:], net.clip.cell / scale, found.provenance)
        return [PhotoMap(item.name, questions, *maps, *known) for item, *maps in parts]

    def failed(item: Image, record: ImageRecord | None, error: ImageError) -> PhotoMap | str:
        return str(error) if record is None else f"{item.name!r} cannot be mapped: {error}"

    cost = max(scoring_bytes(net, device), math.ceil(scale**2 * scoring_bytes(net, device, "maps")))
    at_once = images_at_once(device, len(names))
    batches = processed(
        sources_of(items),
        lambda image: image.load(setup.options),
        scored,
        failed,
        workers=setup.options.workers,
        batch_size=setup.options.most_in_batch,
        at_once=at_once,
        scoring=cost,
    )
    with closing(batches) as results:
        for done, (name, result) in enumerate(zip(names, results, strict=True), 1):
            if isinstance(result, str):
                found.failed[name] = result
            else:
                found.maps.append(result)
                if out is not None:
                    from .page import write_map  # imports matplotlib

                    write_map(result, Path(out, files[name]), format)
            progress(done, len(names))
    if html and out is not None and found.maps:
        from .page import map_page

        write_text(Path(out, PAGE), map_page(found.maps, found.failed))
    return found
