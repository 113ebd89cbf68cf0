"""CLIP-IQA as an ONNX file, which runs without PyTorch."""

from .onnx_file import OnnxFile, export_onnx

__all__ = ["OnnxFile", "export_onnx"]
