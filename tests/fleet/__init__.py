"""A fleet of small programs on one real server, and whether `whoholds server` is right about each of its connections."""
