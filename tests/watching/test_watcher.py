"""Photos that appear in a folder: each is predicted once, whatever happens."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from regraft.errors import DataError, MissingExtraError, ModelError, StorageError, UsageError
from regraft.model import Prediction
from regraft.watching import Rules, Settings, Store, Watcher, read_timeline
from regraft.watching.outputs import Mqtt, Webhook, message
from regraft.watching.states import Event
from regraft.watching.store import FileSeen
from tests.commands import CommandLine

START = datetime(2026, 11, 2).timestamp()  # noqa: DTZ001
CLASSES = ("clean", "messy")


class FakeModel:
    """Says "messy" of bright photos; green ones are unfamiliar."""

    classes = CLASSES
    graph = b"graph"

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.lock = threading.Lock()

    def predict_image(self, image: NDArray[np.uint8], name: str = "") -> Prediction:
        with self.lock:
            self.seen.append(name)
        red, green, _ = image.reshape(-1, 3).mean(axis=0)
        p = 0.97 if red > 128 else 0.03
        flag = "unfamiliar" if green > red + 20 else ""
        best = int(p > 0.5)
        both = (1 - p, p)
        return Prediction(name, CLASSES[best], max(both), both, (CLASSES[best],), 0.2, flag)


@pytest.fixture
def model() -> FakeModel:
    return FakeModel()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "cameras" / "nursery").mkdir(parents=True)
    return tmp_path / "cameras"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "history.db")


def photo(
    folder: Path, number: int, level: int = 200, *, camera: str = "nursery", green: int = 0
) -> Path:
    """The photo of a camera at ten minutes times `number`, with a content of its own."""
    pixels = np.full((6, 8, 3), level, dtype=np.uint8)
    pixels[0, 0] = (number % 256, number // 256 % 256, level)
    pixels[1:, :, 1] = min(255, level + green)
    when = datetime.fromtimestamp(START + 600 * number)  # noqa: DTZ006
    path = folder / camera / f"{when:%Y%m%d-%H%M%S}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    os.utime(path, (START, START))
    return path


def watcher(model: Any, folder: Path, store: Store, **options: Any) -> Watcher:
    settings = Settings(settle_s=0.0, **options.pop("settings", {}))
    return Watcher(model, folder, store, settings=settings, **options)


def names(store: Store, camera: str = "nursery") -> list[str]:
    return [one.path for one in store.photos(camera)]


def test_each_photo_is_predicted_once(model: FakeModel, folder: Path, store: Store) -> None:
    for number in range(5):
        photo(folder, number)
    watching = watcher(model, folder, store)
    assert watching.once().added == 5
    assert watching.once().added == 0
    photo(folder, 5)
    assert watching.once().added == 1
    again = watcher(model, folder, Store(store.file))  # after a restart
    assert again.once().added == 0
    assert len(model.seen) == 6
    (first, *_) = store.photos("nursery")
    assert (first.taken, first.taken_from) == (START, "name")
    assert first.predicted == "messy"


def test_renamed_and_copied_photos_are_known(model: FakeModel, folder: Path, store: Store) -> None:
    path = photo(folder, 0)
    watching = watcher(model, folder, store)
    watching.once()
    path.rename(path.with_name("renamed.png"))
    shutil.copy(path.with_name("renamed.png"), path.with_name("copy.png"))
    assert watching.once().added == 0
    assert model.seen == ["nursery/20261102-000000.png"]
    (folder / "attic").mkdir()
    shutil.copy(path.with_name("renamed.png"), folder / "attic" / "same.png")
    assert watching.once().added == 1  # of another camera
    assert store.cameras() == ["attic", "nursery"]


def test_photos_may_come_late_and_in_any_order(
    model: FakeModel, folder: Path, store: Store
) -> None:
    numbers = list(range(20))
    random.Random(0).shuffle(numbers)
    watching = watcher(model, folder, store)
    for number in numbers:
        photo(folder, number, 200 if number < 10 else 60)
        watching.once()
    found = read_timeline(store).cameras[0]
    assert [(e.previous, e.state, e.at) for e in found.events] == [
        ("messy", "clean", START + 6_000)
    ]
    assert names(store) == sorted(names(store))


def test_events_are_told_once(model: FakeModel, folder: Path, store: Store) -> None:
    watching = watcher(model, folder, store)
    told = []
    for number in range(30):
        photo(folder, number, 200 if number % 20 < 10 else 60)
        told += watching.once().events
    assert [(camera, e.previous, e.state) for camera, e in told] == [
        ("nursery", "messy", "clean"),
        ("nursery", "clean", "messy"),
    ]
    assert watcher(model, folder, Store(store.file)).once().events == ()


def test_half_written_files_wait(model: FakeModel, folder: Path, store: Store) -> None:
    path = photo(folder, 0)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    watching = watcher(model, folder, store)
    assert (watching.once().added, watching.once().waiting) == (0, 1)
    path.write_bytes(whole)
    assert watching.once().added == 1
    assert [one.flag for one in store.photos("nursery")] == [""]


def test_a_file_that_just_changed_waits(model: FakeModel, folder: Path, store: Store) -> None:
    path = photo(folder, 0)
    os.utime(path)
    now = time.time()
    moment = [now]
    watching = Watcher(model, folder, store, now=lambda: moment[0])  # type: ignore[arg-type]
    assert watching.once().waiting == 1
    moment[0] = now + 3
    assert watching.once().added == 1


def test_what_stays_unreadable_is_listed(model: FakeModel, folder: Path, store: Store) -> None:
    path = folder / "nursery" / "broken.jpg"
    path.write_bytes(b"no photo")
    os.utime(path, (START, START))
    photo(folder, 1)
    watching = watcher(model, folder, store)
    assert watching.once().added == 2
    (one, _) = store.photos("nursery")
    assert (one.flag, one.is_known, one.probabilities) == ("unreadable", False, ())
    assert one.reason.startswith("not an image")
    assert watching.once().added == 0
    read_timeline(store)


def test_dark_and_unfamiliar_photos_say_nothing(
    model: FakeModel, folder: Path, store: Store
) -> None:
    for number in range(10):
        photo(folder, number, 200)
    for number in range(10, 20):
        photo(folder, number, 5)  # the light is off; the model would say clean
    for number in range(20, 30):
        photo(folder, number, 60, green=100)
    watcher(model, folder, store).once()
    found = read_timeline(store).cameras[0]
    assert found.flags == {"": 10, "dark": 10, "unfamiliar": 10}
    assert found.events == ()
    assert {span.state for span in found.spans} == {"messy", "unknown"}


def test_photos_right_in_the_folder_belong_to_it(
    model: FakeModel, folder: Path, store: Store
) -> None:
    path = photo(folder, 0)
    path.rename(folder / path.name)
    (folder / "notes.txt").write_text("not for us")
    (folder / ".hidden").mkdir()
    shutil.copy(folder / path.name, folder / ".hidden" / "a.png")
    assert watcher(model, folder, store).once().added == 1
    assert store.cameras() == ["cameras"]


def test_nothing_in_the_folder_is_changed(model: FakeModel, folder: Path, store: Store) -> None:
    before = photo(folder, 0).stat()
    watcher(model, folder, store).once()
    (path,) = (folder / "nursery").iterdir()
    assert path.stat().st_mtime_ns == before.st_mtime_ns


def test_photos_are_kept_only_if_asked_for(
    model: FakeModel, folder: Path, store: Store, tmp_path: Path
) -> None:
    photo(folder, 0)
    watcher(model, folder, store, settings={"copies": tmp_path / "kept"}).once()
    (copy,) = (tmp_path / "kept" / "nursery").iterdir()
    assert copy.name.startswith("20261102-000000-")
    with pytest.raises(DataError, match="lies in the watched folder"):
        watcher(model, folder, store, settings={"copies": folder / "kept"})


def test_old_photos_are_forgotten(model: FakeModel, folder: Path, store: Store) -> None:
    for number in (0, 144 * 10):
        photo(folder, number)
    now = START + 11 * 86_400
    watching = watcher(model, folder, store, settings={"keep_days": 5.0}, now=lambda: now)
    watching.once()
    assert len(names(store)) == 1
    assert watching.once().added == 0  # it is not predicted again either
    assert len(model.seen) == 2


def test_another_model_is_told_apart(model: FakeModel, folder: Path, store: Store) -> None:
    watcher(model, folder, store)
    other = FakeModel()
    other.classes = ("tidy", "untidy")  # type: ignore[assignment]
    with pytest.raises(ModelError, match="was made with a model of the classes clean, messy"):
        watcher(other, folder, store)


def test_a_folder_that_is_not_there(model: FakeModel, tmp_path: Path, store: Store) -> None:
    with pytest.raises(DataError, match="there is no folder"):
        watcher(model, tmp_path / "no", store)


def test_a_folder_that_goes_and_comes_back(model: FakeModel, folder: Path, store: Store) -> None:
    photo(folder, 0)
    said: list[str] = []
    slept: list[float] = []
    away = folder.with_name("away")

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 2:  # once because it cannot be watched, once because it is not there
            away.rename(folder)
            photo(folder, 1)

    passes = watcher(
        model, folder, store, progress=lambda text, *_: said.append(text), sleep=sleep
    ).run()
    assert next(passes).added == 1
    folder.rename(away)
    assert next(passes).added == 1
    assert len(slept) == 2
    assert said == [f"{folder} has gone; waiting for it to come back", f"{folder} is back"]


@pytest.mark.slow
def test_it_notices_a_new_file_at_once(model: FakeModel, folder: Path, store: Store) -> None:
    passes = watcher(model, folder, store).run()
    assert next(passes).added == 0
    threading.Timer(0.5, lambda: photo(folder, 0)).start()
    started = time.monotonic()
    while next(passes).added == 0:
        assert time.monotonic() - started < 20


# --- the history


def test_a_history_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.db").write_bytes(b"something else entirely, and long enough" * 50)
    with pytest.raises(StorageError, match="it is no history of regraft"):
        Store(tmp_path / "a.db")
    assert (tmp_path / "a.db").read_bytes().startswith(b"something else")
    with pytest.raises(StorageError, match="make one with regraft watch"):
        Store(tmp_path / "b.db", must_exist=True)
    with pytest.raises(StorageError, match="there is no folder"):
        Store(tmp_path / "no" / "b.db")


def test_a_history_of_a_newer_format(store: Store) -> None:
    store.set_about(format=99)
    store.close()
    with pytest.raises(StorageError, match="written by a newer regraft"):
        Store(store.file)


def test_a_history_that_is_locked(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    other = sqlite3.connect(store.file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    store._connection.execute("PRAGMA busy_timeout = 50")
    with pytest.raises(StorageError, match="another process writes it"):
        store.add([], [FileSeen("a", 1, 1)])
    other.execute("ROLLBACK")
    store.add([], [FileSeen("a", 1, 1)])
    assert store.is_seen(FileSeen("a", 1, 1))
    assert not store.is_seen(FileSeen("a", 2, 1))
    other.close()


def test_a_full_disk_loses_nothing_that_was_written(
    model: FakeModel, folder: Path, store: Store
) -> None:
    photo(folder, 0)
    watching = watcher(model, folder, store)
    watching.once()
    (pages,) = store._connection.execute("PRAGMA page_count").fetchone()
    store._connection.execute(f"PRAGMA max_page_count = {pages}")
    for number in range(1, 200):
        photo(folder, number)
    with pytest.raises(StorageError, match="free some disk space"):
        watching.once()
    store._connection.execute("PRAGMA max_page_count = 100000")
    watching.once()
    assert len(names(store)) == 200


def test_threads_that_read_hide_no_error_of_the_one_that_writes(store: Store) -> None:
    ended = threading.Event()

    def reads() -> None:
        while not ended.is_set():
            store.has("a", "b")

    readers = [threading.Thread(target=reads) for _ in range(4)]
    for reader in readers:
        reader.start()
    try:
        (pages,) = store._connection.execute("PRAGMA page_count").fetchone()
        store._connection.execute(f"PRAGMA max_page_count = {pages}")
        for attempt in range(20):
            files = [FileSeen(f"{attempt}/{number}" + "x" * 200, 1, 1) for number in range(200)]
            with pytest.raises(StorageError, match="free some disk space"):
                store.add([], files)
    finally:
        ended.set()
        for reader in readers:
            reader.join()


# --- outputs


@pytest.fixture
def heard() -> Any:
    """A server that keeps what is posted to it, and answers with `status`."""
    posts: list[dict[str, Any]] = []
    status = [204]

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            posts.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(status[0])
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/events", posts, status
    server.shutdown()
    server.server_close()


def test_a_webhook_is_told_of_each_event_once_it_can_be(
    model: FakeModel, folder: Path, store: Store, heard: Any
) -> None:
    url, posts, status = heard
    for number in range(20):
        photo(folder, number, 200 if number < 10 else 60)
    status[0] = 500
    said: list[str] = []
    watching = watcher(
        model,
        folder,
        store,
        outputs=[Webhook(url)],
        progress=lambda text, *_: said.append(text),
    )
    watching.once()
    assert "answered 500; trying again later" in said[-1]
    status[0] = 204
    watching.once()
    watching.once()
    assert len(posts) == 2
    assert posts[1]["camera"] == "nursery"
    assert (posts[1]["previous"], posts[1]["state"]) == ("messy", "clean")
    assert posts[1]["at"].endswith("+00:00")
    assert len(posts[1]["evidence"]) == 3


@pytest.mark.parametrize("url", ["example.org", "ftp://example.org", "http://", ""])
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="the webhook is"):
        Webhook(url)
    with pytest.raises(UsageError, match="the broker is"):
        Mqtt(url)


def test_a_broker_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    publish = pytest.importorskip("paho.mqtt.publish")
    sent: list[tuple[Sequence[Any], dict[str, Any]]] = []
    monkeypatch.setattr(publish, "multiple", lambda m, **options: sent.append((m, options)))
    output = Mqtt("mqtt://user:p%40ss@broker.local/home")
    assert output.name == "mqtt://broker.local:1883/home"  # without the password
    output.send("room/1", Event(START, START + 60, "clean", "messy", ("a.jpg",)))
    (messages, options) = sent[0]
    assert [m["topic"] for m in messages] == ["home/room_1/event", "home/room_1/state"]
    assert messages[1]["payload"] == "clean"
    assert messages[1]["retain"]
    assert options["auth"] == {"username": "user", "password": "p@ss"}


def test_a_broker_needs_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("paho", "paho.mqtt", "paho.mqtt.publish"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtraError, match=r"regraft\[mqtt\]"):
        Mqtt("mqtt://broker.local")


def test_what_is_told_is_json() -> None:
    told = message("nursery", Event(START, START + 60, "clean", "messy", ("a.jpg",), 7_200.0))
    assert json.loads(json.dumps(told)) == told
    assert told["after_gap_s"] == 7_200


# --- the commands, in processes that are killed


def test_the_commands(made_once: Path, folder: Path, tmp_path: Path, regraft: CommandLine) -> None:
    for number in range(8):
        photo(folder, number)
    db = tmp_path / "rooms.db"
    done = regraft.done("watch", made_once / "run", folder, "--db", db, "--once", "--settle", "0")
    assert "8 new photos" in done.err
    assert f"next     regraft timeline {db}" in done.err
    shown = regraft.done("timeline", db, "--out", tmp_path / "rooms.html")
    assert "nursery" in shown.out
    assert "8 photos" in shown.out
    page = (tmp_path / "rooms.html").read_text(encoding="utf-8")
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "02 Nov" in page
    assert regraft.done("timeline", db, "--format", "csv").rows[0]["camera"] == "nursery"
    found = regraft.done("timeline", db, "--format", "json").data
    assert found["cameras"][0]["photos"] == 8
    none = regraft.done("timeline", db, "--since", "2030-01-01", "--format", "json").data
    assert none["cameras"][0]["photos"] == 0
    assert (
        "there is no camera 'attic'; expected nursery"
        in regraft("timeline", db, "--camera", "attic").error
    )
    assert "expected a date" in regraft("timeline", db, "--since", "soon").error
    assert regraft("watch", made_once / "run", tmp_path / "no").error.startswith("there is no fol")
    assert not Path("no.db").exists()
    assert "the hold is 'x'" in regraft("watch", made_once / "run", folder, "--hold", "x").error
    assert not list(tmp_path.glob("*.lock"))


@pytest.mark.slow
def test_killed_at_any_moment_it_loses_and_doubles_nothing(
    made_once: Path, folder: Path, tmp_path: Path
) -> None:
    for number in range(400):
        photo(folder, number, camera=f"camera{number % 3}")
    db = tmp_path / "rooms.db"
    command = [sys.executable, "-m", "regraft", "watch", str(made_once / "run"), str(folder)]
    command += ["--db", str(db), "--once", "--settle", "0"]
    delays = random.Random(3)
    for _ in range(20):
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        time.sleep(0.6 + 1.5 * delays.random())
        process.send_signal(signal.SIGKILL)
        process.communicate()
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with Store(db) as store:
        found = [path for camera in store.cameras() for path in names(store, camera)]
    assert len(found) == len(set(found)) == 400


@pytest.mark.slow
def test_one_history_has_one_watcher(
    made_once: Path, folder: Path, tmp_path: Path, started: Callable[..., Any], regraft: CommandLine
) -> None:
    db = tmp_path / "rooms.db"
    process = started("watch", made_once / "run", folder, "--db", db)
    assert process.stderr.readline() == f"history  {db}\n"
    other = regraft("watch", made_once / "run", folder, "--db", db, "--once")
    assert "another process watches with" in other.error
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 0
    assert err.startswith("next     regraft timeline")
    assert regraft.done("watch", made_once / "run", folder, "--db", db, "--once").code == 0


def test_rules_are_those_of_the_watcher(model: FakeModel, folder: Path, store: Store) -> None:
    for number in range(20):
        photo(folder, number, 200 if number < 10 else 60)
    watcher(model, folder, store, settings={"rules": Rules(hold_s=86_400.0)}).once()
    assert read_timeline(store).cameras[0].events == ()
    assert len(read_timeline(store, rules=Rules()).cameras[0].events) == 1
