"""Reading of image files as 8-bit RGB, and batches of images of equal size."""
