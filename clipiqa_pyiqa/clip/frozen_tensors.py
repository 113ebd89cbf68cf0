"""The tensors of a checkpoint as a tower needs them: on its device, in the dtypes of its arithmetic and features."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..weights.checkpoint import Checkpoint
from .cpu_precision import is_slow_on_cpu


@dataclass(frozen=True)
class FrozenTensors:
    """A checkpoint's tensors by OpenAI's names, and the device and dtype of a tower."""

    checkpoint: Checkpoint
    device: torch.device
    dtype: torch.dtype

    @property
    def arithmetic_dtype(self) -> torch.dtype:
        """Dtype of convolutions and matrix products: fp32 on a CPU that is slow in ``dtype``, else ``dtype``."""
        return torch.float32 if self.device.type == "cpu" and is_slow_on_cpu(self.dtype) else self.dtype

    @property
    def feature_dtype(self) -> torch.dtype:
        """Dtype of features and norms: fp32, or float64 if ``dtype`` is."""
        return torch.promote_types(self.dtype, torch.float32)

    def rounded(self, x: Tensor) -> Tensor:
        """Return numbers rounded to ``dtype``, on the device, in ``arithmetic_dtype``."""
        return x.to(self.dtype).to(self.device).to(self.arithmetic_dtype)

    def read_rounded(self, name: str) -> Tensor:
        return self.rounded(self.checkpoint[name])

    def read(self, name: str) -> Tensor:
        """Return a tensor of the checkpoint on the device, in ``feature_dtype``."""
        return self.checkpoint[name].to(self.device, self.feature_dtype)
