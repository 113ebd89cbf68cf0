"""The history of ``gate``: a line for each night, in a file to which runs only append."""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import CLIPIQAError, counted
from ..files.reading import open_file
from ..stats.drift import FIRST, find_drift, find_modes
from .verdicts import ColumnPair


class Nights:
    """The nights of a column that can be compared: those with the same metric and the same base.

    Attributes:
        drift: A slow loss, as :func:`~clipiqa_pyiqa.stats.drift.find_drift` returns it.
        warning: The drift in a sentence, or empty.
        notes: What else the nights show: modes, or how many nights there are yet.
    """

    def __init__(self, past: Sequence[Mapping[str, Any]], pair: ColumnPair) -> None:
        self.pair, self.warning, self.notes = pair, "", list[str]()
        self.all = [
            night
            for night in [*past, pair.record]
            if (night["name"], night["fingerprint"]) == (pair.name, pair.fingerprint)
            and abs(night["base_of_all"] - pair.base_of_all) <= pair.rounding
        ]
        # a night that lost more than its margin says nothing about a slow loss
        usual = [night["gains"][1] for night in self.all if night["gains"][2] >= -(night["margin"] or math.inf)]
        least = max(pair.rounding, 1e-12)
        # where nothing varies, each harmless change would be a drift, so the margin tells what matters
        self.drift = find_drift(usual, least, (pair.margin or 0) / 10)
        if self.drift:
            nights, loss, spread = self.drift
            words = f"drift: in the last {counted(nights, 'night')} a loss of {loss:.4f} beside the first {FIRST}"
            self.warning = f"{pair.name}: {words} nights, whose spread is {spread:.4f}"
        if modes := find_modes(usual, least):
            words = " and ".join(f"{gain:+.4f} in {nights} nights" for gain, nights in modes)
            self.notes.append(
                f"{pair.name}: the gains of the nights may have two modes, {words}: look for what differs between "
                "them, such as the machine, a library or a seed"
            )
        if len(usual) < FIRST:
            self.notes.append(f"{pair.name}: {len(usual)} of the {FIRST} nights that a drift needs")


def read_nights(path: str | os.PathLike[str], commit: str | None) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the columns of all nights in a history, and a sentence about damaged lines.

    Of several nights of one commit, only the last counts; the nights of ``commit`` are left out.
    """
    nights, damaged = dict[Any, list[dict[str, Any]]](), list[str]()
    with contextlib.suppress(FileNotFoundError), open_file(path) as file:
        for number, line in enumerate(file, 1):
            try:
                night = json.loads(line)
                nights[night["commit"] or number] = [column for column in night["columns"] if column["gains"]]
            except (ValueError, LookupError, TypeError):
                damaged.append(str(number))
    if damaged and not nights:
        raise CLIPIQAError(f"{os.fspath(path)!r} holds no night of clipiqa gate: name another file as `history`.")
    nights.pop(commit, None)
    notes = [f"damaged lines of {os.fspath(path)!r}: {', '.join(damaged)}"] if damaged else []
    return [*itertools.chain(*nights.values())], notes
