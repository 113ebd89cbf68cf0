"""The frozen towers of CLIP: pixels and texts to unit features."""
