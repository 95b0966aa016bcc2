"""Measurements of mmtk on this machine: one module for each part of ``mmtk bench``."""
