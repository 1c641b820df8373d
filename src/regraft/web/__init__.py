"""What every server of regraft stands on: who may ask it, how much, for how long, and how it ends.

guards      before every answer: host, origin, token, size, time
listening   a port, an application, and an end within ten seconds
patience    connections that say nothing, or take nothing, are closed
"""
