"""Commands that set metrics, images and people side by side."""
