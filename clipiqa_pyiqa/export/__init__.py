"""CLIP-IQA for where there is no PyTorch: as an ONNX file."""

from .onnx_file import OnnxFile, export_onnx

__all__ = ["OnnxFile", "export_onnx"]
