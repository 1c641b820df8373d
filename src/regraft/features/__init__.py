"""Files of a Dataset in, what networks and plain measures make of them out, kept by content."""
