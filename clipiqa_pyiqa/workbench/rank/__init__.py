"""Picking and browsing the best and the worst photos."""
