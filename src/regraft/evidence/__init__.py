"""What is measured of a chosen candidate, and what can be said of it."""
