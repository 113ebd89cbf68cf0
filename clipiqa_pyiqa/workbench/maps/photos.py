"""Maps of photos, as results and in files."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Literal, Unpack

from ...checks import FilePath, check_one_of
from ...errors import CLIPIQAError, ImageError
from ...metric import CLIPIQA
from ...options import lists_options, net_of
from ...prompts.pairs import Prompts, QuestionsByColumn, only_pairs, parse_questions
from ..options import ScoringOptions, SharedOptions, check_options
from ..progress import Progress, silent
from ..results.storage_options import check_storage
from ..scoring.score import Paths
from ..scoring.setup import ScoringSetup
from ..sources.finding import find_sources, tell_skipped
from ..sources.found_sources import FoundSources
from ..sources.paths import each_of
from ..sources.picture_folders import check_pictures_outside
from ..sources.shard_images import images_in
from ..sources.shards import Shard
from .folder import MapFolder
from .mapper import Mapper
from .photo_map import PhotoMap
from .places import check_scale


@dataclass
class PhotoMaps:
    """Maps of photos.

    Attributes:
        failed: Photo without a map -> reason.
    """

    provenance: Mapping[str, Any]
    maps: list[PhotoMap] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, map_or_reason: PhotoMap | str) -> None:
        """Add the map of a photo, or the reason why it has none."""
        if isinstance(map_or_reason, PhotoMap):
            self.maps.append(map_or_reason)
        else:
            self.failed[name] = map_or_reason


@lists_options(ScoringOptions, of=SharedOptions)
def draw_maps(
    metric: Any,
    paths: Paths,
    prompts: Prompts | Mapping[str, Prompts] = "quality",
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
        smooth, scale: As for :func:`~clipiqa_pyiqa.workbench.maps.quality_map`.
        pictures: Format of pictures: ``'png'``, ``'svg'`` or ``'pdf'``.
        options: As for :func:`~clipiqa_pyiqa.score_paths`.
    """
    check_options(options, inspect.signature(draw_maps).parameters)
    check_scale(scale)
    check_one_of("pictures", pictures, ("png", "svg", "pdf"))
    if html and out is None:
        raise CLIPIQAError("`html` needs a folder: pass `out`, too.", options=("html", "out"))
    check_storage(out, False, overwrite)
    questions = None if prompts is None else parse_questions(prompts, template)
    _check_pairs(questions)
    photos = _photos(paths, out)
    tell_skipped(photos)
    names = [photo.name for photo in images_in(photos.sources)]
    folder = None
    if out is not None:
        folder = MapFolder(out, names, pictures, has_page=html)
        folder.prepare(overwrite)
    net = net_of(metric)
    questions = _usable_questions(net, questions)
    mapper = Mapper(net, questions, smooth, scale, ScoringSetup(net, questions, **options))
    photo_maps = PhotoMaps(mapper.provenance)
    # the photos are listed again here, so that only what is read ahead is in memory
    with closing(mapper.outcomes(images_in(photos.sources), len(names))) as outcomes:
        for done, (name, map_or_reason) in enumerate(zip(names, outcomes, strict=True), 1):
            photo_maps.add(name, map_or_reason)
            if folder is not None and isinstance(map_or_reason, PhotoMap):
                folder.write_map(map_or_reason)
            progress(done, len(names))
    if html and folder is not None and photo_maps.maps:
        folder.write_page(photo_maps.maps, photo_maps.failed)
    return photo_maps


def _photos(paths: Paths, out: FilePath | None) -> FoundSources:
    """Return the photos that paths name; raise if there are none, or if ``out`` would be among them."""
    sources = list(each_of(paths))
    check_pictures_outside(out, sources)
    photos = find_sources(sources, has_archives=False)
    if photos.is_empty:
        raise ImageError(f"{photos.problem or 'paths has no photos'}: there is nothing to map.")
    for source in photos.sources:
        if isinstance(source, Shard):
            raise ImageError("is a shard, and maps need files: unpack its photos into a folder", name=source.name)
    return photos


def _usable_questions(net: CLIPIQA, questions: QuestionsByColumn | None) -> QuestionsByColumn | None:
    """Return the questions of maps; None asks the learned prompts. Raise for what the network cannot map."""
    _check_pairs(questions or net.questions)
    net.encode_prompts(questions)  # raises for what has no texts, such as a fitted head
    net.check_map()
    if questions is None and net.prompt_learner is None:
        return parse_questions(list(net.prompts))  # one map for each prompt, even if the metric averages prompts
    return questions


def _check_pairs(questions: QuestionsByColumn | None) -> None:
    """Raise PromptError for a single text, whose score is no share between two texts."""
    for questions_of_column in (questions or {}).values():
        only_pairs(questions_of_column, "a map")
