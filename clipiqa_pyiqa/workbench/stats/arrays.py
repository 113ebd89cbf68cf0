"""Lists of numbers as arrays."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


def arrays(x: ArrayLike, y: ArrayLike) -> tuple[Array, Array]:
    """Return two lists of one length as arrays. Raises ``ValueError`` for others."""
    x = np.asarray(x, np.float64)
    y = np.asarray(y, np.float64)
    if x.ndim != 1 or x.shape != y.shape:
        raise ValueError(f"two lists of one length are needed; got shapes {x.shape} and {y.shape}.")
    return x, y
