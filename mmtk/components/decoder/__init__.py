"""Components of kind ``decoder``, one file each, named by their recipe word."""
