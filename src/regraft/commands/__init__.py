"""The commands, one a file: each parses, calls the verb of its name, and prints.

app        finds the command
failures   what went wrong, in one line
options    what several commands have; `groups` gives them to typer, `durations` reads times
printing   a result as text, CSV or JSON
drawing/   what people see of it, a file a command
"""
