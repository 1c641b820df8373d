"""A model over HTTP, with a page to try it: `Server`.

`app` answers requests, `intake` reads photos or texts from them, `guards` refuse those that are too
many, too large or too slow, `answering` predicts in worker threads, `heat` says where in a photo
the evidence lies, `counting` keeps the figures that are watched, `server` listens. `page/` is what
a browser shows.
"""

from regraft.serving.limits import ServerLimits
from regraft.serving.server import Server

__all__ = ["Server", "ServerLimits"]
