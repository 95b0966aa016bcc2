"""What each command does; also the Python API."""
