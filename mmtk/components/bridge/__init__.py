"""Components of kind ``bridge``, one file each, named by their recipe word."""
