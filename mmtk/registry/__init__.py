"""Components: which exist, what their signatures say, and new packages of them."""
