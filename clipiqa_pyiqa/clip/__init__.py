"""The frozen towers of CLIP: pixels and texts to unit features. Nothing in here knows what image quality is."""
