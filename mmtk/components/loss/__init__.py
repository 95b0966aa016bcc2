"""Components of kind ``loss``, one file each, named by their recipe word."""
