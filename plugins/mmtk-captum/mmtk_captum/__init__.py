"""Bridges that show the decoder where the classifier looks, one file each."""
