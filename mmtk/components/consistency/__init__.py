"""Components of kind ``consistency``, one file each, named by their recipe word."""
