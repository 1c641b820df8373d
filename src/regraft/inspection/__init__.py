"""A Dataset in, what is wrong with it and what it looks like out."""
