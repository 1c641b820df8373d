"""A model at work: photos that cameras write into folders, and what they say over time.

`taken` finds when a photo was taken, `store` keeps what the model said of it, `states` turns that
into states and events, `watcher` does the work, `outputs` tell others, `timeline` sums up.
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
