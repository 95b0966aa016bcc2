"""Recipes: from TOML to checked values."""
