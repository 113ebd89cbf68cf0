"""The linear questions whose answers the head's hidden layer starts from, and their cross-fitting.

A rated photo's answers come from questions that were fitted without its fold, so that the hidden layer learns from
answers as good as a new photo's, not from flattered ones.
"""

from __future__ import annotations

import numpy as np
from scipy.stats import norm, rankdata

from .samples import VERSIONS, Q
from .solve import Normal, Rows, opinion_rows
from .words import AXES


def opinion_questions(x: np.ndarray, mos: np.ndarray, source: np.ndarray, fold: np.ndarray, wanted: list) -> list:
    """(parts, penalty) of each question about the rated photos.

    Penalties are those of a basis that keeps every direction's spread: opinions rest on the directions in which photos
    differ much, degradations also on small ones.
    """
    spread = x.std(0)
    spread_penalty = np.square(x * spread).mean() / np.square(spread)
    everywhere, sources = np.ones(len(x)), np.unique(source)
    ranks = norm.ppf(rankdata(mos) / (len(mos) + 1))
    own = np.zeros(len(mos))
    for one in sources:
        mine = source == one
        own[mine] = norm.ppf(rankdata(mos[mine]) / (mine.sum() + 1))

    def differences(names: list[str]) -> list[Rows]:
        parts = []
        for one in names:
            mine = source == one
            parts.append(Rows(x[mine] - x[mine].mean(0), own[mine] - own[mine].mean(), everywhere[mine], fold[mine], 0,
                              1 / len(names)))  # fmt: skip
        return parts

    questions = []
    for name, penalty in wanted:
        if name == "mos":
            parts = opinion_rows(x, mos, source, fold, 0)
        elif name == "rank":
            parts = opinion_rows(x, ranks, source, fold, 0)
        elif name == "within":
            parts = differences(list(sources))
        elif name.startswith("is "):
            parts = opinion_rows(x, np.where(source == name[3:], 1.0, -1.0), source, fold, 0)
        else:
            parts = differences([name])
        questions.append((parts, penalty * spread_penalty))
    return questions


def axis_questions(data: dict[str, np.ndarray], config: dict) -> list:
    """(parts, penalty) of each axis: differences and values of groups and windows, and moved photos' stillness."""
    group, target, weight = data["group"], data["group target"], data["group weight"]
    window, window_target, window_weight = data["window"], data["window target"], data["window weight"]
    folds, window_fold = data["group fold"], data["window fold"]
    still = Rows(data["moved"] - data["still"], np.zeros(len(data["moved"])), np.ones(len(data["moved"])),
                 data["moved fold"], 0.0, config["moves"])  # fmt: skip
    twins = Rows(data["twin"] - data["twin of"], np.zeros(len(folds)), np.ones(len(folds)), folds, 0.0, config["moves"])
    size = group.shape[-1]
    questions = []
    for axis in range(len(AXES)):
        parts = [
            Rows((group[:, 1:] - group[:, :1]).reshape(-1, size), (target[:, 1:, axis] - target[:, :1, axis]).ravel(),
                 (weight[:, 1:, axis] * weight[:, :1, axis]).ravel(), folds.repeat(VERSIONS - 1), 0.0, 1.0),
            Rows(window[:, 0] - window[:, 1], window_target[:, 0, axis] - window_target[:, 1, axis],
                 window_weight[:, 0, axis] * data["window changed"], window_fold, 0.0, 0.5),
            still, twins,
        ]  # fmt: skip
        if axis != Q:
            absolute = config["absolute"]
            parts.append(Rows(group.reshape(-1, size), target[..., axis].ravel(), weight[..., axis].ravel(),
                              folds.repeat(VERSIONS), 1.0, absolute))  # fmt: skip
            parts.append(Rows(window[:, 0], window_target[:, 0, axis], window_weight[:, 0, axis], window_fold, 1.0,
                              0.5 * absolute))  # fmt: skip
        questions.append((parts, np.full(size, config["penalty"])))
    return questions


def place_questions(data: dict[str, np.ndarray], config: dict) -> list:
    """(parts, penalty) of some axes once more, from differences between places of one photo alone.

    They tell where it was changed, whatever is to be seen there.
    """
    places, windows = data["window of"], data["window"][:, 0]
    count = np.bincount(places)[:, None]

    def differences(values: np.ndarray) -> np.ndarray:
        mean = np.zeros((len(count), values.shape[1]), values.dtype)
        np.add.at(mean, places, values)
        return values - (mean / count.clip(1)).astype(values.dtype)[places]

    x, target, weight = differences(windows), differences(data["window target"][:, 0]), data["window weight"][:, 0]
    return [
        (
            [Rows(x, target[:, axis], weight[:, axis], data["window fold"], 0.0, 1.0)],
            np.full(x.shape[1], config["penalty"]),
        )
        for axis in map(AXES.index, config["axes"])
    ]


def fit(questions: list, folds: int) -> np.ndarray:
    """(folds + 1, P + 1, R): each question's weights without each fold, and from everything."""
    found = []
    for parts, penalty in questions:
        normal = Normal(parts[0].x.shape[1], folds)
        for part in parts:
            normal.add(part)
        found.append([normal.solve(penalty, fold) for fold in (*range(folds), None)])
    return np.array(found).transpose(1, 2, 0)


def answer(x: np.ndarray, fold: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """(N, ..., P) -> (N, ..., R) in fp32, each row by the weights that have not seen its fold (-1: the last)."""
    found = np.empty((*x.shape[:-1], weights.shape[2]), np.float32)
    for one in np.unique(fold):
        found[fold == one] = x[fold == one] @ weights[one, :-1] + weights[one, -1]
    return found
