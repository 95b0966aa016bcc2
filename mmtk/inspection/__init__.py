"""Data sets looked at before training."""
