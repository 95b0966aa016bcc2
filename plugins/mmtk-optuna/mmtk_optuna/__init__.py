"""Optuna as a search of mmtk."""
