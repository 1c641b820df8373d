"""Going through the photos of a run by hand: a run in, decisions in its folder out.

queue     which photos to look at, worst first, with every reason to do so
session   what the page shows and does: the queue, photos, decisions of all who review
app       the session over HTTP
server    a port of this machine for it
page/     what the browser gets

A decision that the page sends is one line more in decisions.csv; one that would overwrite what the
page has not shown is refused. `fit --decisions` applies them right behind the scan, before
contradictions are looked for, and copies them to the new run, whose review goes on from there.
"""

from regraft.reviewing.queue import KINDS, Queued, Reason, build_queue
from regraft.reviewing.server import ReviewServer
from regraft.reviewing.session import Session

__all__ = ["KINDS", "Queued", "Reason", "ReviewServer", "Session", "build_queue"]
