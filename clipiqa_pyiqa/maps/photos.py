"""Maps of photos, as results and in files."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Unpack

import torch

from ..errors import CLIPIQAError, FilePath, ImageError, Progress, ScoringOptions, checked, few, log, silent
from ..files.folders import check_folder, file_name, free_names
from ..files.printable import printable
from ..files.writing import write_text
from ..images.batches import images_at_once, processed, stacked
from ..images.image import Image
from ..images.memory import scoring_bytes
from ..images.reader import ImageRecord
from ..metric import CLIPIQA, net_of
from ..prompts.pairs import PromptPair, Prompts, parse_columns
from ..scoring.score import Paths, ScoringSetup
from ..sources.finding import check_pictures_outside, each_of, find_shards, sources_of
from .places import PhotoMap, Question, enlarged, smoothed

PAGE = "maps.html"


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
def draw_maps(
    metric: Any,
    paths: Paths,
    prompts: Prompts | Mapping[str, Sequence[PromptPair]] = "quality",
    *,
    template: str | None = None,
    smooth: bool = True,
    scale: float = 1.0,
    out: FilePath | None = None,
    pictures: Literal["png", "svg", "pdf"] = "png",
    html: bool = False,
    overwrite: bool = False,
    progress: Progress = silent,
    **options: Unpack[ScoringOptions],
) -> PhotoMaps:
    """Return maps of photos, and write them to ``out``; each photo is encoded once.

    Args:
        metric: A ``CLIPIQA``, a metric of ``pyiqa.create_metric``, or a function that makes a metric.
        paths: Photos, folders or globs.
        prompts: Questions, a map for each; None means the metric's own prompts.
        smooth, scale: As for :func:`~clipiqa_pyiqa.maps.quality_map`.
        pictures: Format of pictures: ``'png'``, ``'svg'`` or ``'pdf'``.
        options: As for :func:`~clipiqa_pyiqa.score_paths`.
    """
    if html and out is None:
        raise CLIPIQAError("`html` needs a folder: pass `out`, too.")
    columns = None if prompts is None else parse_columns(prompts, template)
    sources = list(each_of(paths))
    check_pictures_outside(out, sources)
    given = find_shards(sources, archives=False)
    if given.is_empty:
        raise ImageError(f"{given.problem or 'paths has no photos'}: there is nothing to map.")
    # and again below, so that only what is read ahead is in memory
    names = [source.name for source in sources_of(given.items)]
    photos = list(dict.fromkeys(names))
    stems = [file_name(printable(Path(photo).stem)) for photo in photos]
    files = dict(zip(photos, free_names(stems, taken=["maps"]), strict=True))
    if out is not None:
        written = [f"{name}.{suffix}" for name in files.values() for suffix in (pictures, "npz")]
        check_folder(out, [*written, *([PAGE] if html else [])], overwrite=overwrite, inputs=names)
        earlier = sorted({file.stem for file in Path(out).glob("*.npz")} - {*files.values()})
        if overwrite and earlier:
            log.warning(f"{out} also holds maps of an earlier run: {few(earlier)}")
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
        sources_of(given.items),
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

                    write_map(result, Path(out, files[name]), pictures)
            progress(done, len(names))
    if html and out is not None and found.maps:
        from .page import map_page

        write_text(Path(out, PAGE), map_page(found.maps, found.failed))
    return found
