"""What can be computed again, kept on disk: one place, one limit, and the least recently used goes.

`room` says how much may be written and makes room, `contents` keeps values by the content they were
made of, `use` tells what is there and clears it. What else is kept lies in files of its own in a
folder of `KINDS`, and asks `room` first.
"""

from regraft.storage.cache.contents import ContentStore, count_contents
from regraft.storage.cache.room import KINDS, limit_bytes, make_room, used_now
from regraft.storage.cache.use import CacheUse, cache_use, clear_cache

__all__ = [
    "KINDS",
    "CacheUse",
    "ContentStore",
    "cache_use",
    "clear_cache",
    "count_contents",
    "limit_bytes",
    "make_room",
    "used_now",
]
