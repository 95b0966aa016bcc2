"""Components of kind ``launcher``, one file each, named by their recipe word."""
