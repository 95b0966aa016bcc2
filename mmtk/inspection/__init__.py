"""Inspection of data sets before training."""
