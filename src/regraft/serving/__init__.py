"""A model over HTTP, with a page to try it: `Server`.

app        answers requests
intake     photos or texts, read from them
limits     what is accepted; `web/` refuses what is too many, too large or too slow
answering  predictions in worker threads
heat       where in a photo the evidence lies, without torch
counting   the figures that Prometheus reads
server     listens
page/      what a browser shows
"""

from regraft.serving.limits import ServerLimits
from regraft.serving.server import Server

__all__ = ["Server", "ServerLimits"]
