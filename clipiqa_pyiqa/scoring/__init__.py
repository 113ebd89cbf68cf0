"""Scores of images: one row each, and the files that rows are kept in."""
