"""The frozen towers (encoders) of CLIP: images and texts to unit features."""
