"""Tables of studies and of the paper."""
