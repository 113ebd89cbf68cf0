"""The frozen CLIP. Nothing in here knows what image quality is."""
