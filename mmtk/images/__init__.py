"""Image files of every format as gray levels, masks and label maps."""
