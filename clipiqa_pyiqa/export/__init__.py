"""CLIP-IQA without PyTorch: as an ONNX file."""

from .onnx_file import OnnxFile, export_onnx

__all__ = ["OnnxFile", "export_onnx"]
