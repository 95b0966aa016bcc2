"""Components of kind ``metric``, one file each, named by their recipe word."""
