"""Comparison of metrics with people."""
