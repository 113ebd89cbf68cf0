"""CLIP-IQA with torchmetrics' interface: ``CLIPImageQualityAssessment`` and ``clip_image_quality_assessment``."""

from .functional import clip_image_quality_assessment
from .metric import CLIPImageQualityAssessment

__all__ = ["CLIPImageQualityAssessment", "clip_image_quality_assessment"]
