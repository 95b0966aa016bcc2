"""Strategies for semi-supervised segmentation, one file each, found by their words in ``pyproject.toml``."""
