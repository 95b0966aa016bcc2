"""Components of kind ``search``, one file each, named by their recipe word."""
