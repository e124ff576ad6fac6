"""A toy world: rendered scenes and shipped photographs in the raw formats of the eight data sets."""
