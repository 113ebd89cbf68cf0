"""Damage done to photos that training never saw, as statistics, and what a readout says of it."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from scipy.stats import spearmanr

from . import classic, patterns
from .collect import Columns, statistics
from .damage import both, by_cell, harmless
from .data import Rated
from .evaluation import to_side
from .model import Mini
from .report import area
from .samples import find_photos, read_photo

SEED, SIDE, DRAWS = 1234, 512, 2
FORMS = {name: patterns.pattern for name in (*patterns.TRAINED, *patterns.JUDGED)}
PLACES = patterns.PLACES | patterns.JUDGED_PLACES
QUANTILE = 0.02  # of the places that count in a local reward


@dataclass(frozen=True)
class Judged:
    """Photos that training never saw: held-out ones of a long side of 512 px, and rated ones with a high MOS."""

    photos: list[Path]

    @classmethod
    def of(cls, folders: list[Path], rated: Rated, good: float = 0.8, count: int = 20) -> Judged:
        best = [name for name, mos in zip(rated.names, rated.mos, strict=True) if mos >= good][:count]
        return cls([*find_photos(folders), *(rated.folder / "images" / name for name in best)])

    def photo(self, index: int) -> Image.Image:
        photo = read_photo(self.photos[index])
        return photo if photo.size == (SIDE, SIDE) else to_side(photo, SIDE) or photo

    def rows(self, index: int) -> Columns:
        """One photo: `whole` (1, S); `classic` (1, kinds, 5, S); `pattern` (1, forms, draws, S); `harmless` (1, 4, S);
        `place` (1, places, S); `covered` and `untouched`, cells of every place, by number."""
        photo = self.photo(index)
        x = classic.pixels_of(photo)
        dice = np.random.default_rng((SEED, index))
        graded = [
            statistics(
                [classic.damaged(photo, kind, level, np.random.default_rng((SEED, index, number)))
                 for level in classic.LEVELS]
            )
            for number, kind in enumerate(classic.KINDS)
        ]  # fmt: skip
        drawn = [
            statistics([classic.image_of(patterns.pattern(x, name, draw, dice)) for draw in np.linspace(0, 1, DRAWS)])
            for name in FORMS
        ]
        whole, before = both(photo)
        other = classic.pixels_of(self.photo((index + 1) % len(self.photos)))
        rows, columns = before.shape[:2]
        place, maps, covered = [], [before], [np.zeros((rows, columns), np.float16)]
        for make in PLACES.values():
            where = patterns.place_of(x.shape, dice.uniform(0.01, 0.03), dice)
            one, after = both(classic.image_of(patterns.with_place(x, other, make, where, dice)))
            inside = np.zeros(x.shape[:2], np.float32)
            inside[where] = 1
            place.append(one)
            maps.append(after)
            covered.append(by_cell(inside, rows, columns))
        cells = np.stack(maps).reshape(len(maps), rows * columns, -1)
        shares = np.stack(covered).reshape(len(maps), -1).astype(np.float16)
        room = (0, SIDE * SIDE // 32**2 - rows * columns)  # photos of other shapes have fewer cells: -1 marks the rest
        return {
            "whole": whole[None], "classic": np.stack(graded)[None], "pattern": np.stack(drawn)[None],
            "harmless": np.concatenate([whole[None], statistics(harmless(photo, dice))])[None],
            "place": np.stack(place)[None], "cells": np.pad(cells, ((0, 0), room, (0, 0)), constant_values=1)[None],
            "share": np.pad(shares, ((0, 0), room), constant_values=-1)[None],
        }  # fmt: skip


def logit(model: Mini, rows: np.ndarray) -> np.ndarray:
    """Quality's logits (...,) of statistics (..., S)."""
    question = model.questions([("Good photo.", "Bad photo.")])
    flat = rows.reshape(-1, rows.shape[-1])
    found = [
        (model.embed(torch.from_numpy(part.astype(np.float32))) @ question)[:, 0].numpy()
        for part in np.array_split(flat, len(flat) // 4096 + 1)
    ]
    return np.concatenate(found).reshape(rows.shape[:-1])


def score(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-values))


def worst(values: np.ndarray, share: np.ndarray) -> float:
    """The mean of the worst places, as a local reward takes it."""
    own = np.sort(values[share >= 0])
    return float(own[: ceil(QUANTILE * len(own))].mean())


@torch.inference_mode()
def judge(model: Mini, paths: list[Path]) -> dict:
    """Shares of photos whose quality falls, Spearman's of level and score, and what local rewards and maps notice."""
    found: dict[str, list] = {name: [] for name in ("whole", "classic", "pattern", "place", "harmless")}
    local: list[tuple[float, ...]] = []
    areas: list[list[float]] = []
    for path in paths:
        for i, (rows, shares) in enumerate(zip((file := np.load(path))["cells"], file["share"], strict=True)):
            values = logit(model, rows)
            before = worst(values[0], shares[0])
            local.append((before, *(worst(own, share) for own, share in zip(values[1:], shares[1:], strict=True))))
            areas.append([area(own[share >= 0.5], own[share == 0])
                          for own, share in zip(values[1:], shares[1:], strict=True)])  # fmt: skip
            for name, column in found.items():
                column.append(logit(model, file[name][i]))
    whole, classic_, pattern_, place, still = (np.stack(column) for column in found.values())
    report: dict = {"photos": len(whole), "classic": {}, "patterns": {}, "places": {}}
    for number, kind in enumerate(classic.KINDS):
        falls = classic_[:, number] < whole[:, None]
        ranks = [spearmanr(classic.LEVELS, one[number]).statistic for one in classic_]
        report["classic"][kind] = {"falls at levels 3 to 5": round(float(falls[:, 2:].mean()), 3),
                                   "at each": falls.mean(0).round(3).tolist(),
                                   "Spearman": round(float(np.nan_to_num(ranks).mean()), 3)}  # fmt: skip
    for number, kind in enumerate(FORMS):
        report["patterns"][kind] = round(float((pattern_[:, number] < whole[:, None]).mean()), 3)
    spread, local_values = whole.std(), np.array(local)
    local_spread, drop = local_values[:, 0].std(), (whole[:, None] - place) / whole.std()
    local_drop = (local_values[:, :1] - local_values[:, 1:]) / local_spread
    for number, kind in enumerate(PLACES):
        report["places"][kind] = {
            "falls": round(float((place[:, number] < whole).mean()), 3),
            "local falls more": round(float((local_drop[:, number] > drop[:, number]).mean()), 3),
            "area under the curve": round(float(np.nanmean([one[number] for one in areas])), 3),
        }
    report["harmless"] = np.abs(score(still[:, 1:]) - score(still[:, :1])).mean(0).round(4).tolist()
    report["spread"] = [round(float(spread), 3), round(float(local_spread), 3)]
    report["mean score"] = round(float(score(whole).mean()), 3)
    ordered = [report["classic"][kind] for kind in classic.ORDERED]
    at_least = lambda limit: sum(one["falls at levels 3 to 5"] >= limit for one in ordered)  # noqa: E731
    report["of the 42"] = {"falls in 95 %": at_least(0.95), "falls in 85 %": at_least(0.85),
                           "Spearman at most -0.9": sum(one["Spearman"] <= -0.9 for one in ordered)}  # fmt: skip
    return report


def table(report: dict) -> str:
    """As lines of text."""
    lines = [f"{report['photos']} photos, mean score {report['mean score']}"]
    for kind, one in report["classic"].items():
        mark = "" if kind in classic.ORDERED else "  (left out)"
        lines.append(f"{kind:32}{one['falls at levels 3 to 5']:7.3f}{one['Spearman']:8.3f}   {one['at each']}{mark}")
    lines += [f"{kind:32}{share:7.3f}{'' if kind in patterns.TRAINED else '  (form kept back)'}"
              for kind, share in report["patterns"].items()]  # fmt: skip
    lines += [f"{kind:32}{one['falls']:7.3f}  local more {one['local falls more']:.3f}  "
              f"area {one['area under the curve']:.3f}{'' if kind in patterns.PLACES else '  (form kept back)'}"
              for kind, one in report["places"].items()]  # fmt: skip
    lines += [f"harmless: mirrored, one px cropped, JPEG 95: {report['harmless']}", f"of the 42: {report['of the 42']}"]
    return "\n".join(lines)
