"""Kinds of input: how one file becomes an array, and how that array is prepared for a backbone."""
