"""Where photos of a history can still be seen: in the watched folder, or among the copies."""

from __future__ import annotations

import time
from pathlib import Path

from regraft.storage.locations import find, recall
from regraft.watching.store import Photo, Store


def copy_name(photo: Photo) -> str:
    """What the copy of a photo is called in the folder of its camera."""
    when = time.strftime("%Y%m%d-%H%M%S", time.localtime(photo.taken))
    return f"{when}-{photo.sha256[:8]}{Path(photo.path).suffix.lower()}"


def places_file(history: Path) -> Path:
    """The private file beside a history that says where its folders are; see `locations`."""
    return history.with_name(f"{history.name}.where.json")


class KeptPhotos:
    """Finds the files of photos of a history."""

    def __init__(self, store: Store) -> None:
        about, places = store.about(), recall(places_file(store.file))
        self._folders = {
            name: find(about[name], store.file.parent, places.get(name))[-1]
            for name in ("folder", "copies")
            if about.get(name)
        }

    def path_of(self, photo: Photo) -> Path | None:
        """The file, or None where it is gone."""
        places = {"folder": photo.path, "copies": f"{photo.camera}/{copy_name(photo)}"}
        paths = (folder / places[name] for name, folder in self._folders.items())
        return next((path for path in paths if path.is_file()), None)
