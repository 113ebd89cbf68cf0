"""One image file to 8-bit RGB, and many of them to batches of equal size."""
