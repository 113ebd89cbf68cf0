"""Prompt pairs: words, learned context vectors, and the files that hold them."""
