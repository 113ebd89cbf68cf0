"""Scores of image files: one row each, and the files that rows are kept in."""
