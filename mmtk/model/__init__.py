"""The network: built, loaded, scored, and used to predict."""
