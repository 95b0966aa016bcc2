"""Components of kind ``source``, one file each, named by their recipe word."""
