"""Files, processes and the terminal; knows nothing of recipes or runs."""
