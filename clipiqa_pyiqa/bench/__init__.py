"""Speed and memory of our metric against pyiqa's built-in, on the same weights, in one run: ``clipiqa bench``."""
