"""Runs of mmtk's studies as tasks of a Ray cluster."""
