"""MLflow: a mirror of run and study directories."""
