"""Looking at a folder of films as people have it, and writing the profile that reads it."""
