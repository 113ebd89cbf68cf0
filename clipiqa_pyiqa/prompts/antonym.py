"""The antonym softmax: Wang et al., AAAI 2023, Sec. 3.1, Eqs. 2 and 3, times CLIP's logit scale (100)."""

from torch import Tensor

from ..clip.arithmetic import exact, sigmoid


def margins(features: Tensor, pairs: Tensor, logit_scale: float) -> Tensor:
    """Return the positive minus the negative prompt's logit, ``(…, P)``, in the dtype of the features.

    Args:
        features: Unit image features ``(…, D)``.
        pairs: Unit text features ``(P, 2, D)``, positive first.
        logit_scale: CLIP's factor of logits.
    """
    return _exact_margins(features, pairs, logit_scale).to(features.dtype)


def antonym_scores(features: Tensor, pairs: Tensor, logit_scale: float) -> Tensor:
    """Return the positive prompt's probability, ``(…, P)``; arguments as for :func:`margins`."""
    return sigmoid(_exact_margins(features, pairs, logit_scale)).to(features.dtype)


def _exact_margins(features: Tensor, pairs: Tensor, logit_scale: float) -> Tensor:
    """Return margins that are not rounded to the dtype of the features."""
    exact_pairs = exact(pairs)
    return logit_scale * exact(features) @ (exact_pairs[:, 0] - exact_pairs[:, 1]).T
