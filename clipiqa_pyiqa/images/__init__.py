"""Image files to 8-bit RGB, and to batches of equal size."""
