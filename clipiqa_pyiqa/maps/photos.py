"""Maps of photos: scoring and writing."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import torch

from ..errors import CLIPIQAError, ImageError, first_of
from ..errors.arguments import SharedOptions, checked
from ..images.batches import images_at_once, in_batches, prefetch, stacked
from ..images.reader import ImageRecord, check_limits, read_image
from ..images.source import ImageSource, NoImage
from ..metric import find_device, net_of, scoring_bytes
from ..prompts.pairs import PromptPair, Prompts, parse_columns
from ..prompts.provenance import column_records
from ..sources.finding import each_of, find_shards
from ..sources.inputs import sources_of
from .photo_map import PhotoMap, Question
from .places import check_scale, enlarged, smoothed
from .results import Format, MapFolder, PhotoMaps

if TYPE_CHECKING:
    from ..metric import CLIPIQA

Paths = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]


@checked
def draw_maps(
    metric: Any,
    paths: Paths,
    prompts: Prompts | Mapping[str, Sequence[PromptPair]] = "quality",
    *,
    template: str | None = None,
    smooth: bool = True,
    scale: float = 1.0,
    out: str | os.PathLike[str] | None = None,
    format: Format = "png",
    html: bool = False,
    overwrite: bool = False,
    progress: Callable[[int, int], object] = lambda done, total: None,
    device: str | torch.device | None = SharedOptions.device,
    batch_size: int = SharedOptions.batch_size,
    workers: int | None = SharedOptions.workers,
    apply_exif: bool = SharedOptions.apply_exif,
    max_side: int | None = SharedOptions.max_side,
    max_pixels: int | None = SharedOptions.max_pixels,
) -> PhotoMaps:
    """Return maps of photos, and write them to ``out``; each photo is encoded once.

    Args:
        metric: A ``CLIPIQA``, a metric of ``pyiqa.create_metric``, or a function that makes a metric.
        paths: Photos, folders or globs; a picture in ``out`` is read only if it is named here.
        prompts: Questions, a map for each; None means the metric's own prompts.
        template: Wording of the questions.
        smooth, scale: As for :func:`~clipiqa_pyiqa.maps.quality_map`.
        out: Folder for pictures and numbers.
        format: Format of pictures: ``'png'``, ``'svg'`` or ``'pdf'``.
        html: Also write ``maps.html``, a page of all maps.
        overwrite: Replace files in ``out``.
        progress: Called with the numbers of finished and of all photos.
        device, batch_size, workers, apply_exif, max_side, max_pixels: as in
            :class:`~clipiqa_pyiqa.errors.arguments.SharedOptions`.

    Returns:
        The maps; ``failed`` has the photos without a map.

    Raises:
        CLIPIQAError: The input cannot be used.
    """
    check_scale(scale)
    limits: dict[str, Any] = {"apply_exif": apply_exif, "max_side": max_side, "max_pixels": max_pixels}
    check_limits(max_side, max_pixels)
    if html and out is None:
        raise CLIPIQAError("`html` needs a folder: pass `out`, too.")
    columns = None if prompts is None else parse_columns(prompts, template)
    sources = _photos(paths, out)
    output = None if out is None else MapFolder(out, [each.name for each in sources], format, html, overwrite)
    net: CLIPIQA = net_of(metric)
    net.encode_prompts(columns)  # raises for prompts that cannot be used, before any photo is read
    net.check_map()
    device = find_device(device)
    if columns is None and net.prompt_learner is None:
        columns = parse_columns(list(net.prompts))  # one map for each prompt, even if the metric averages prompts
    asked: Mapping[str, Sequence[PromptPair]] = dict.fromkeys(net.columns, ()) if columns is None else columns
    questions = tuple(
        Question(name, pairs[0].negative, pairs[0].positive) if len(pairs) == 1 else Question(name)
        for name, pairs in asked.items()
    )
    found = PhotoMaps(
        {
            **net.provenance(),
            **({} if columns is None else {"scores": column_records(columns)}),
            "map": f"places of {net.clip.cell} px" + (", each the mean of 3×3" if smooth else ""),
            "scale": scale,
            **limits,
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
            "versions": {package: version(package) for package in ("torch", "pillow")},
        }
    )

    def scored(items: list[ImageSource], records: list[ImageRecord]) -> list[PhotoMap | tuple[str, str]]:
        with torch.no_grad():
            x = stacked([record.pixels for record in records], device)
            if scale == 1:
                score, places = (net.score(features, columns) for features in net.encode_with_map(x))
            else:  # scores the photo without enlargement
                score = net.score(net.encode_image(x), columns)
                places = net.score(net.encode_map(enlarged(x, scale)), columns)
            shown = smoothed(places) if smooth else places
        one = partial(
            PhotoMap, height=x.shape[2], width=x.shape[3], step=net.clip.cell / scale, provenance=found.provenance
        )
        parts = zip(items, *(part.float().cpu().numpy() for part in (score, shown, places)), strict=True)
        return [one(item.name, questions, *maps) for item, *maps in parts]

    def failed(item: ImageSource, record: ImageRecord | None, error: ImageError) -> PhotoMap | tuple[str, str]:
        return item.name, str(error) if record is None else f"{item.name!r} cannot be mapped: {error}"

    cost = max(scoring_bytes(net, device), math.ceil(scale**2 * scoring_bytes(net, device, "maps")))
    at_once = images_at_once(device, len(sources))
    images = prefetch(lambda source: read_image(source, **limits), sources, workers, scoring=cost, at_once=at_once)
    batch_size = 1 if device.type == "cpu" else batch_size
    batches = in_batches(images, scored, failed, batch_size=batch_size, at_once=at_once, scoring=cost)
    with closing(batches) as results:
        for result in results:
            if isinstance(result, PhotoMap):
                found.maps.append(result)
                if output is not None:
                    output.write(result)
            else:
                found.failed[result[0]] = result[1]
            progress(len(found.maps) + len(found.failed), len(sources))
    if output is not None:
        output.finish(found)
    return found


def _photos(paths: Paths, out: str | os.PathLike[str] | None) -> list[ImageSource]:
    given = list(each_of(paths))
    found = {each.name: each for each in sources_of(find_shards(given, archives=False).items)}
    if out is not None:
        named, folder = {os.fspath(each) for each in given}, os.path.join(os.path.abspath(out), "")
        found = {
            name: each for name, each in found.items() if name in named or not os.path.abspath(name).startswith(folder)
        }
    problems = [each.problem for each in found.values() if isinstance(each, NoImage)]
    if len(problems) == len(found):
        raise ImageError(f"{first_of(problems or ['paths has no photos'])}: there is nothing to map.")
    return list(found.values())
