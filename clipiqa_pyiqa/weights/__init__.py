"""Checkpoints of backbones: found, downloaded and opened safely."""
