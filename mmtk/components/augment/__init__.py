"""Components of kind ``augment``, one file each, named by their recipe word."""
