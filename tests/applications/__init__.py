"""Published applications, each pinned and in an environment of its own: what whoholds says of them at the defaults."""
