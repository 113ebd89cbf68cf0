"""Prompt pairs: words, learned context vectors and their files."""
