"""Draws loss_gradients.png, the figure of docs/loss.md: ``python docs/images/loss_gradients.py``."""

from __future__ import annotations

from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import torch

from clipiqa_pyiqa.loss import FORMS


def curves(form: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Score, loss and size of the loss's gradient with respect to the margin, by autograd; float64."""
    margin = torch.linspace(-7, 7, 501, dtype=torch.float64, requires_grad=True)
    loss = FORMS[form](margin)
    (slope,) = torch.autograd.grad(loss.sum(), margin)
    return margin.detach().sigmoid(), loss.detach(), slope.abs()


def main() -> None:
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    for form in FORMS:
        score, loss, slope = curves(form)
        axes[0].plot(score, loss, label=form)
        axes[1].plot(score, slope, label=form)
    axes[0].set(ylabel="loss", ylim=(-4, 4))
    axes[1].set(ylabel="size of its gradient (margin)", ylim=(0, 1.08))
    for ax in axes:
        ax.set(xlabel="score s", xlim=(0, 1))
        ax.grid(alpha=0.3)
        ax.legend()
    figure.savefig(Path(__file__).with_suffix(".png"), dpi=100)


if __name__ == "__main__":
    main()
