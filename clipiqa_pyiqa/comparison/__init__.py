"""Comparisons: metrics on data sets, methods in one table, two runs (the gate), and weights with published scores."""
