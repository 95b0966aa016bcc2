"""Adaptation to films of another hospital: sources that change them, and statistics of batch norm."""
