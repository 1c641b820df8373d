"""Photos that appear in a folder, one sub-folder for each camera: predicted once, and kept.

A pass lists the folder, reads what is new, predicts it in worker threads and writes it to the
store. Passes follow when the system tells of changes, and at least once a minute, since some file
systems tell of nothing. What happens between two writes happens again in the next pass: no photo is
lost and none is counted twice, for the content of a photo is its key.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from regraft.dataset.walking import walk
from regraft.errors import DataError, ModelError, UnreadableInputError
from regraft.heads.familiarity import FAMILIAR
from regraft.kinds.base import read_input
from regraft.kinds.images import SUFFIXES
from regraft.kinds.images.decoding import decode, inspect_container
from regraft.model import Model
from regraft.progress import Progress, note, silent
from regraft.storage.files import make_folder, write_atomic
from regraft.storage.locations import remember, shareable
from regraft.watching.kept import copy_name, places_file
from regraft.watching.outputs import Output
from regraft.watching.states import Event, Rules, history_of
from regraft.watching.store import FileSeen, Photo, Store
from regraft.watching.taken import taken_at
from regraft.workers import map_threads

DARK = 20.0  # mean grey level, 0 to 255, below which a frame shows nothing to rely on
_EVERY_S = 60.0  # a pass without being told of changes
_AT_ONCE = 64  # photos in one write
_UNREADABLE_AFTER_S = 120.0  # a file that cannot be read may still be on its way
_AWAY_S = 5.0  # between two looks for a folder that has gone
_DAY_S = 86_400.0
_PRINTED = "printed"  # the output that every event is told to: the terminal


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a folder is watched.

    Attributes:
        rules: what makes a change of state.
        settle_s: a file that changed more recently is left for the next pass.
        keep_days: photos taken longer ago are removed from the history; None keeps all.
        copies: a folder where photos are copied to; None for none.
        poll: ask the file system again and again, as network shares need it.
        jobs: worker threads.
    """

    rules: Rules = field(default_factory=Rules)
    settle_s: float = 2.0
    keep_days: float | None = None
    copies: Path | None = None
    poll: bool = False
    jobs: int | None = None


@dataclass(frozen=True, slots=True)
class Pass:
    """What one pass did: photos that are new, files left for later, events by camera."""

    added: int
    waiting: int
    events: tuple[tuple[str, Event], ...]


@dataclass(frozen=True, slots=True)
class _Inspected:
    """One file after a look: its photo, None if it is known or still on its way."""

    file: FileSeen
    photo: Photo | None
    is_waiting: bool = False


def require_folder(folder: str | Path) -> None:
    """Raises DataError: there is nothing to watch."""
    if not Path(folder).is_dir():
        raise DataError(f"there is no folder {folder}; give the one that cameras write into")


class Watcher:
    """Watches one folder with one model."""

    def __init__(
        self,
        model: Model,
        folder: str | Path,
        store: Store,
        *,
        settings: Settings | None = None,
        outputs: Sequence[Output] = (),
        progress: Progress = silent,
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Get ready; nothing is read yet.

        Raises:
            DataError: the folder is not there, or is the folder of copies.
            ModelError: the history was made with a model of other classes.
            StorageError: the history cannot be written.
        """
        self.folder = Path(os.path.abspath(folder))  # noqa: PTH100 - keeps links
        self._model = model
        self._model_id = hashlib.sha256(model.graph).hexdigest()[:16]
        self._store = store
        self._settings = settings or Settings()
        self._outputs = outputs
        self._progress = progress
        self._now, self._sleep = now, sleep
        self._events: dict[str, tuple[Event, ...]] = {}  # by camera, until it has a new photo
        require_folder(folder)
        copies = self._settings.copies
        if copies is not None and Path(os.path.abspath(copies)).is_relative_to(self.folder):  # noqa: PTH100
            raise DataError(f"{copies} lies in the watched folder; keep copies elsewhere")
        known = store.about().get("classes")
        if known is not None and known != list(model.classes):
            raise ModelError(
                f"{store.file} was made with a model of the classes {', '.join(known)}, this one "
                f"has {', '.join(model.classes)}; choose another --db"
            )
        store.set_about(
            classes=list(model.classes),
            model=self._model_id,
            folder=shareable(self.folder, store.file.parent),
            copies=None if copies is None else shareable(copies, store.file.parent),
            rules=self._settings.rules.to_dict(),
            familiar=FAMILIAR,
        )
        remember(
            places_file(store.file),
            {"folder": str(self.folder)}
            | ({} if copies is None else {"copies": os.path.abspath(copies)}),  # noqa: PTH100
        )

    def run(self) -> Iterator[Pass]:
        """Passes until the caller stops; each is yielded once it is written.

        Raises:
            StorageError: the history cannot be written any more.
        """
        while True:
            if not self.folder.is_dir():
                note(self._progress, f"{self.folder} has gone; waiting for it to come back")
                while not self.folder.is_dir():
                    self._sleep(_AWAY_S)
                note(self._progress, f"{self.folder} is back")
            done = self.once()
            yield done
            self._wait(self._settings.settle_s if done.waiting else _EVERY_S)

    def once(self) -> Pass:
        """One pass over what is there."""
        added, waiting = 0, 0
        batch: list[_Inspected] = []
        files = [file for file in self._files() if not self._store.is_seen(file)]
        looked = map_threads(self._look, files, jobs=self._settings.jobs)
        written = time.monotonic()
        for number, one in enumerate(looked, start=1):
            if one.is_waiting:
                waiting += 1
                continue
            batch.append(one)
            if one.photo is not None:
                self._events.pop(one.photo.camera, None)
            if len(batch) >= _AT_ONCE or time.monotonic() - written > 1.0:
                added += self._write(batch)
                batch, written = [], time.monotonic()
            if len(files) > _AT_ONCE:
                self._progress("predicting photos", number, len(files))
        added += self._write(batch)
        self._forget_old()
        return Pass(added, waiting, tuple(self._tell()))

    def _files(self) -> list[FileSeen]:
        """Files with the suffix of an image, oldest first; what cannot be listed is passed over."""
        found = []
        try:
            paths = walk(self.folder, suffixes=SUFFIXES).files
        except DataError:  # the folder has gone
            paths = ()
        for path in paths:
            with contextlib.suppress(OSError):
                status = (self.folder / path).stat()
                found.append(FileSeen(path, status.st_size, status.st_mtime_ns))
        return sorted(found, key=lambda file: (file.modified, file.path))

    def _look(self, file: FileSeen) -> _Inspected:
        """Read and predict one file, unless it is still being written."""
        now, modified = self._now(), file.modified / 1e9
        if 0 <= now - modified < self._settings.settle_s:
            return _Inspected(file, None, is_waiting=True)
        path = self.folder / file.path
        try:
            data = read_input(path)
            status = path.stat()
        except UnreadableInputError as error:
            return self._unreadable(file, b"", str(error))
        except OSError as error:  # its text would say where the file is
            return self._unreadable(file, b"", error.strerror or "cannot be read")
        if (status.st_size, status.st_mtime_ns) != (file.size, file.modified):
            return _Inspected(file, None, is_waiting=True)  # it grew meanwhile
        sha256 = hashlib.sha256(data).hexdigest()
        camera = self._camera(file.path)
        if self._store.has(camera, sha256):
            return _Inspected(file, None)  # renamed or copied
        try:
            image = decode(data)
            taken = inspect_container(data).taken
        except UnreadableInputError as error:
            return self._unreadable(file, data, str(error))
        said = self._model.predict_image(image, file.path)
        brightness = float(image.mean())
        flag = "dark" if brightness < DARK else said.flag
        at = taken_at(Path(file.path).name, modified, taken, now=now)
        photo = Photo(
            camera=camera,
            sha256=sha256,
            path=file.path,
            taken=at.at,
            taken_from=at.source,
            seen=now,
            predicted=said.predicted,
            confidence=round(said.confidence, 6),
            probabilities=tuple(round(p, 6) for p in said.probabilities),
            flag=flag,
            reason="",
            unfamiliarity=round(said.unfamiliarity, 6),
            brightness=round(brightness, 1),
            model=self._model_id,
        )
        self._copy(photo, data)
        return _Inspected(file, photo)

    def _unreadable(self, file: FileSeen, data: bytes, reason: str) -> _Inspected:
        """A file that may still be on its way, or one that is listed as unreadable."""
        now, modified = self._now(), file.modified / 1e9
        if 0 <= now - modified < _UNREADABLE_AFTER_S or not (self.folder / file.path).exists():
            return _Inspected(file, None, is_waiting=True)
        photo = Photo(
            camera=self._camera(file.path),
            sha256=hashlib.sha256(data or file.path.encode("utf-8", "replace")).hexdigest(),
            path=file.path,
            taken=taken_at(Path(file.path).name, modified, "", now=now).at,
            taken_from="file",
            seen=now,
            predicted="",
            confidence=None,
            probabilities=(),
            flag="unreadable",
            reason=reason,
            unfamiliarity=None,
            brightness=None,
            model=self._model_id,
        )
        return _Inspected(file, photo)

    def _camera(self, path: str) -> str:
        """The first folder below the watched one; its own name for photos right in it."""
        first, slash, _ = path.partition("/")
        return first if slash else self.folder.name

    def _copy(self, photo: Photo, data: bytes) -> None:
        if self._settings.copies is None:
            return
        folder = make_folder(self._settings.copies / photo.camera)
        write_atomic(folder / copy_name(photo), data)

    def _write(self, batch: Sequence[_Inspected]) -> int:
        if not batch:
            return 0
        photos = [one.photo for one in batch if one.photo is not None]
        return self._store.add(photos, [one.file for one in batch])

    def _forget_old(self) -> None:
        days = self._settings.keep_days
        if days is None:
            return
        before = self._now() - days * _DAY_S
        if self._store.forget_before(before):
            self._events.clear()
        if self._settings.copies is not None:
            for copy in self._settings.copies.glob("*/*"):
                with contextlib.suppress(OSError):
                    if copy.stat().st_mtime < before:
                        copy.unlink()

    def _tell(self) -> Iterator[tuple[str, Event]]:
        """New events; outputs that cannot be reached are told in a later pass."""
        cameras = self._store.cameras()
        for camera in cameras:
            for event in self._pending(camera, _PRINTED):
                self._store.tell(camera, event, _PRINTED)
                yield camera, event
        for output in self._outputs:
            self._pass_on(output, cameras)

    def _pass_on(self, output: Output, cameras: Sequence[str]) -> None:
        for camera in cameras:
            for event in self._pending(camera, output.name):
                try:
                    output.send(camera, event)
                except OSError as error:
                    note(self._progress, f"{output.name} was not told: {error}; trying again later")
                    return
                self._store.tell(camera, event, output.name)

    def _pending(self, camera: str, output: str) -> list[Event]:
        if camera not in self._events:
            readings = [photo.reading for photo in self._store.photos(camera)]
            found = history_of(readings, self._model.classes, self._settings.rules)
            self._events[camera] = found.events
        return self._store.pending(camera, self._events[camera], output)

    def _wait(self, seconds: float) -> None:
        """Until something changes in the folder, for some seconds at the most."""
        import watchfiles

        try:
            for _ in watchfiles.watch(
                self.folder,
                rust_timeout=max(50, int(1_000 * seconds)),
                yield_on_timeout=True,
                force_polling=self._settings.poll or None,
                raise_interrupt=True,
                debounce=500,
            ):
                return
        except (OSError, RuntimeError):  # the folder has gone, or cannot be watched
            self._sleep(min(seconds, _AWAY_S))
