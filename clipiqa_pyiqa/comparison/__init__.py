"""Comparisons of metrics, methods, two runs (the gate), and published scores."""
