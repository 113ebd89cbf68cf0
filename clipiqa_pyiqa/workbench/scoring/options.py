"""How a run reads and scores."""

from dataclasses import dataclass
from typing import Any, Self

from ...checks import MIN_SIDE, check_seed
from ...machine import find_device
from ..options import BatchOptions, SharedOptions


@dataclass(frozen=True)
class Options(SharedOptions):
    """How a run reads and scores.

    Attributes:
        device: The ``torch.device``.
        seed: Number that is set before each metric of pyiqa and each image.
        min_side: Smallest height and width of images.
    """

    device: Any = None
    seed: int = 0
    min_side: int = MIN_SIDE

    def __post_init__(self) -> None:
        super().__post_init__()
        check_seed(self.seed)

    @classmethod
    def of(cls, batches: BatchOptions, **more: Any) -> Self:
        """Return the options of a caller, whose device may be a name or missing."""
        options: dict[str, Any] = {**batches, "device": find_device(batches.get("device"))}
        return cls(**options, **more)

    @property
    def most_in_batch(self) -> int:
        """Largest number of images in a batch; 1 on a CPU."""
        return 1 if self.device.type == "cpu" else self.batch_size
