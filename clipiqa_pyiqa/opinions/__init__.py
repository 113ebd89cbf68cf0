"""What people said of images: tables of opinion scores."""

from .csv_files import TableError, read_rows, read_scores
from .score_table import ScoreTable, find_score_table, read_score_table

__all__ = ["ScoreTable", "TableError", "find_score_table", "read_rows", "read_score_table", "read_scores"]
