"""Plan of a profile for a folder of films as people have it."""
