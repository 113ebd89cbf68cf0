"""Maps of photos, as results and in files."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Literal, Unpack

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...checks import FilePath, check_one_of
from ...errors import CLIPIQAError, ImageError
from ...given_metric import net_of
from ...metric import CLIPIQA
from ...options import lists_options
from ...prompts.pairs import PromptPair, Prompts, QuestionsByColumn
from ...prompts.parsing import parse_columns
from ...prompts.questions import only_pairs
from ..images.batches import BatchLoop, BatchWork, Limits
from ..images.image import Image
from ..images.record import ImageRecord
from ..images.scoring_memory import scoring_bytes
from ..images.stacking import stacked
from ..images.threads import images_at_once
from ..options import Progress, ScoringOptions, SharedOptions, check_options, check_storage, silent
from ..scoring.score import Paths
from ..scoring.setup import ScoringSetup
from ..sources.finding import find_sources, tell_skipped
from ..sources.found_sources import FoundSources
from ..sources.paths import each_of
from ..sources.picture_folders import check_pictures_outside
from ..sources.shard_images import images_in
from .folder import MapFolder
from .places import MapQuestion, PhotoMap, check_scale, enlarged, smoothed


@dataclass
class PhotoMaps:
    """Maps of photos.

    Attributes:
        failed: Photo without a map -> reason.
    """

    provenance: Mapping[str, Any]
    maps: list[PhotoMap] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


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
        raise CLIPIQAError("`{html}` needs a folder: pass `{out}`, too.", options=("html", "out"))
    check_storage(out, False, overwrite)
    questions = None if prompts is None else parse_columns(prompts, template)
    _check_pairs(questions)
    photos = _photos(paths, out)
    # the photos are listed again when they are mapped, so that only what is read ahead is in memory
    names = [photo.name for photo in images_in(photos.items)]
    folder = None
    if out is not None:
        folder = MapFolder(out, names, pictures, has_page=html)
        folder.prepare(overwrite)
    net = net_of(metric)
    questions = _usable_questions(net, questions)
    mapper = _Mapper(net, questions, smooth, scale, ScoringSetup(net, questions, **options))
    photo_maps = PhotoMaps(mapper.provenance)
    with closing(mapper.outcomes(images_in(photos.items), len(names))) as outcomes:
        for done, (name, map_or_reason) in enumerate(zip(names, outcomes, strict=True), 1):
            if isinstance(map_or_reason, PhotoMap):
                photo_maps.maps.append(map_or_reason)
                if folder is not None:
                    folder.write_map(map_or_reason)
            else:
                photo_maps.failed[name] = map_or_reason
            progress(done, len(names))
    if html and folder is not None and photo_maps.maps:
        folder.write_page(photo_maps.maps, photo_maps.failed)
    return photo_maps


def _photos(paths: Paths, out: FilePath | None) -> FoundSources:
    """Return the photos that paths name; raise if there are none, or if ``out`` would be among them."""
    sources = list(each_of(paths))
    check_pictures_outside(out, sources)
    photos = find_sources(sources, has_archives=False)
    tell_skipped(photos)
    if photos.is_empty:
        raise ImageError(f"{photos.problem or 'paths has no photos'}: there is nothing to map.")
    return photos


def _usable_questions(net: CLIPIQA, questions: QuestionsByColumn | None) -> QuestionsByColumn | None:
    """Return the questions of maps; None asks the learned prompts. Raise for what the network cannot map."""
    _check_pairs(questions or net.questions)
    net.encode_prompts(questions)  # raises for what has no texts, such as a fitted head
    net.check_map()
    if questions is None and net.prompt_learner is None:
        return parse_columns(list(net.prompts))  # one map for each prompt, even if the metric averages prompts
    return questions


def _check_pairs(questions: QuestionsByColumn | None) -> None:
    """Raise PromptError for a single text, whose score is no share between two texts."""
    for questions_of_column in (questions or {}).values():
        only_pairs(questions_of_column, "a map")


@dataclass(frozen=True)
class _Mapper(BatchWork[Image, ImageRecord, PhotoMap | str]):
    """A network and its questions, which map photos in batches.

    Args:
        questions: The pairs of each column; None asks the learned prompts.
        smooth, scale: As for :func:`draw_maps`.
    """

    net: CLIPIQA
    questions: QuestionsByColumn | None
    smooth: bool
    scale: float
    setup: ScoringSetup

    @functools.cached_property
    def map_questions(self) -> tuple[MapQuestion, ...]:
        if self.questions is None:
            return tuple(MapQuestion(name) for name in self.net.columns)
        return tuple(_map_question(name, only_pairs(pairs, "a map")) for name, pairs in self.questions.items())

    @functools.cached_property
    def provenance(self) -> dict[str, Any]:
        places = f"places of {self.net.clip.cell} px"
        if self.smooth:
            places += ", each the mean of 3×3"
        return {**self.setup.header.provenance, "map": places, "scale": self.scale}

    def outcomes(self, photos: Iterable[Image], count: int) -> Generator[PhotoMap | str, None, None]:
        """Return an iterator over the map of each of ``count`` photos, in order, or the reason why there is none."""
        device = self.setup.device
        whole = scoring_bytes(self.net, device)
        places = math.ceil(self.scale**2 * scoring_bytes(self.net, device, "maps"))
        options = self.setup.options
        limits = Limits(
            batch_size=options.most_in_batch,
            at_once=images_at_once(device, count),
            bytes_per_pixel=max(whole, places),
            workers=options.workers,
        )
        return BatchLoop(self, limits).results(photos)

    def load(self, photo: Image) -> ImageRecord:
        return photo.load(self.setup.options)

    def run(self, photos: list[Image], records: list[ImageRecord]) -> list[PhotoMap | str]:
        """Return the maps of photos whose decoded images have the same size."""
        with torch.no_grad():
            x = stacked([record.pixels for record in records], self.setup.device)
            photo_scores, place_scores = self.scores(x)
            shown_scores = smoothed(place_scores) if self.smooth else place_scores
        height, width = x.shape[2:]
        return [
            PhotoMap(
                path=photo.name,
                questions=self.map_questions,
                photo_scores=_array(photo_scores[row]),
                shown_scores=_array(shown_scores[row]),
                place_scores=_array(place_scores[row]),
                height=height,
                width=width,
                step=self.net.clip.cell / self.scale,
                provenance=self.provenance,
            )
            for row, photo in enumerate(photos)
        ]

    def failed(self, photo: Image, record: ImageRecord | None, error: ImageError) -> str:
        """Return why a photo has no map: it cannot be read, or the decoded image cannot be mapped."""
        return str(error) if record is None else f"{photo.name!r} cannot be mapped: {error}"

    def scores(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the scores of photos ``(N, 3, H, W)``: ``(N, P)``, and of their places: ``(N, P, h, w)``."""
        if self.scale == 1:
            features, local_features = self.net.encode_with_map(x)
        else:
            features = self.net.encode_image(x)  # a photo itself is scored without enlargement
            local_features = self.net.encode_map(enlarged(x, self.scale))
        return self.net.score(features, self.questions), self.net.score(local_features, self.questions)


def _array(scores: Tensor) -> NDArray[np.float32]:
    return scores.float().cpu().numpy()


def _map_question(name: str, pairs: Sequence[PromptPair]) -> MapQuestion:
    if len(pairs) == 1:
        return MapQuestion(name, low=pairs[0].negative, high=pairs[0].positive)
    return MapQuestion(name)
