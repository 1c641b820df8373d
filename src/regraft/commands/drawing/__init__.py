"""What people see of a result on a terminal, a file a command, drawn with rich.

Results in, text on a console out. Sentences are wrapped at words; lines with a path or a command
are never broken, so that they can be copied whole.
"""
