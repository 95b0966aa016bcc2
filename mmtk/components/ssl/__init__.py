"""Components of kind ``ssl``, one file each, named by their recipe word."""
