"""Run directories: their files, and reading them back."""
