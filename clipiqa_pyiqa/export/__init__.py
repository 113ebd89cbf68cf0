"""CLIP-IQA as an ONNX file, which runs without PyTorch."""
