"""What people said of images: tables of opinion scores."""

from .score_table import ScoreTable, TableError, find_score_table, read_rows, read_score_table, read_scores

__all__ = ["ScoreTable", "TableError", "find_score_table", "read_rows", "read_score_table", "read_scores"]
