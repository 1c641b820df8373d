"""The runtimes that turn arrays into features: one file each, imported only when used."""
