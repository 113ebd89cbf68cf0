"""CLIP-IQA with piq's interface: ``CLIPIQA(data_range=…)``."""

from .layer import CLIPIQA

__all__ = ["CLIPIQA"]
