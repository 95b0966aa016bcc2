"""Components of kind ``encoder``, one file each, named by their recipe word."""
