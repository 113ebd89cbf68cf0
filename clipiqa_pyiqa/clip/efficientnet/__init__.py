"""EfficientNet-Lite as a CLIP image tower: maps in strips of rows, and the statistics of every one of them."""
