"""Strategies for semi-supervised classification, one file each, named by their recipe word."""
