"""The commands, one a file: each parses, calls the verb of its name, and prints."""
