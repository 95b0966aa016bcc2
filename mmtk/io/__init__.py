"""Files, processes and the terminal; no knowledge of recipes or runs."""
