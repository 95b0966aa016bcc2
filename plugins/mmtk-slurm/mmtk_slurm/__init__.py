"""Runs of mmtk's studies as job arrays of Slurm."""
