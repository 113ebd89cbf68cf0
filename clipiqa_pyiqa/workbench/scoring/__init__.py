"""Scoring: images become rows of scores, by all metrics of a run."""
