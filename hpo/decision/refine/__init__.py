"""A second, narrower sweep from what a first one has found."""
