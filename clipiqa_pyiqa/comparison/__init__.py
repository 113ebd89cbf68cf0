"""Metrics side by side on data sets: what is asked for, running it, and what came out."""
