"""A model at work: photos that cameras write into folders, and what they say over time.

taken      when a photo was taken
store      what the model said of it, in SQLite
states     that, as states and events: what makes a change
watcher    the work
outputs    events told to others: webhook, MQTT
stays      how often, how long, with intervals of `rates`
kept       photos that are still there
timeline   the sum; `sentences` and `page` say and show it
"""

from regraft.watching.states import Event, History, Rules, Span
from regraft.watching.store import Store
from regraft.watching.timeline import Timeline, read_timeline
from regraft.watching.watcher import Pass, Settings, Watcher, require_folder

__all__ = [
    "Event",
    "History",
    "Pass",
    "Rules",
    "Settings",
    "Span",
    "Store",
    "Timeline",
    "Watcher",
    "read_timeline",
    "require_folder",
]
