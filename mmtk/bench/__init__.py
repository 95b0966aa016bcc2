"""What mmtk costs on this machine: one file for each part of ``mmtk bench``."""
