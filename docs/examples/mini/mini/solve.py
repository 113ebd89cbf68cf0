"""Linear questions in closed form: weighted least squares over rated photos, graded differences and local windows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass
class Rows:
    """Equations `x @ w + constant * b = target`, one per row.

    Attributes:
        x: (N, P) coordinates, or differences of them.
        target: (N,) what they should give.
        weight: (N,) what an equation counts; parts are brought to a mean of 1 over all rows by `share`.
        fold: (N,) in which fold the equation is left out; -1 for none.
        constant: 1 for values, 0 for differences.
        share: what all rows of this part count together.
    """

    x: np.ndarray
    target: np.ndarray
    weight: np.ndarray
    fold: np.ndarray
    constant: float
    share: float


class Normal:
    """The normal equations of several parts, kept by fold, so that leaving one out is a subtraction."""

    def __init__(self, size: int, folds: int) -> None:
        self.left, self.right = np.zeros((folds + 1, size + 1, size + 1)), np.zeros((folds + 1, size + 1))

    def add(self, part: Rows) -> None:
        """One part more; a large one may come in pieces."""
        share = part.share / part.weight.sum()
        for fold in np.unique(part.fold):
            mine = np.flatnonzero((part.fold == fold) & (part.weight > 0))
            if not len(mine):
                continue
            x = np.concatenate([part.x[mine], np.full((len(mine), 1), part.constant, part.x.dtype)], 1)
            weighted = x * (share * part.weight[mine])[:, None].astype(x.dtype)
            self.left[fold] += weighted.T @ x
            self.right[fold] += weighted.T @ part.target[mine].astype(x.dtype)

    def solve(self, penalty: np.ndarray, without: int | None = None) -> np.ndarray:
        """(P + 1,): the weights and the constant, from every fold but `without`; `penalty` (P,) of squared weights."""
        left, right = self.left.sum(0), self.right.sum(0)
        if without is not None:
            left, right = left - self.left[without], right - self.right[without]
        return np.linalg.solve(left + np.diag(np.append(penalty, 1e-6)), right)


def opinion_rows(x: np.ndarray, target: np.ndarray, source: np.ndarray, fold: np.ndarray, within: float) -> list[Rows]:
    """Equations of the human scores: their values, and their differences within each source at `within` the weight,
    brought to the same spread in every source."""
    everywhere = np.ones(len(x))
    rows = [Rows(x, target, everywhere, fold, 1.0, 1.0)]
    for one in np.unique(source) if within else ():
        mine = source == one
        ratio = target.var() / target[mine].var()
        rows.append(Rows(x[mine] - x[mine].mean(0), target[mine] - target[mine].mean(), everywhere[mine], fold[mine], 0,
                         within / 3 * ratio))  # fmt: skip
    return rows
