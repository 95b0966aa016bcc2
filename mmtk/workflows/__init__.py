"""Workflows of the commands, which are the Python API as well."""
