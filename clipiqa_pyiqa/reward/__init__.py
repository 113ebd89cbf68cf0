"""CLIP-IQA as a reward for generators trained by reinforcement: ``CLIPIQAReward``, images to margins, no gradient."""

from .margin import CLIPIQAReward

__all__ = ["CLIPIQAReward"]
