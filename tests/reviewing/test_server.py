"""The review over real HTTP: what is shown, decided and refused."""

from __future__ import annotations

import dataclasses
import hashlib
import http.client
import io
import json
import re
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from httpx import Headers
from PIL import Image

from regraft.dataset import Dataset, Row
from regraft.errors import DataError, UsageError
from regraft.inspection.issues import Issue
from regraft.reviewing import ReviewServer
from regraft.reviewing.app import PAGE
from regraft.runs import Run
from regraft.runs.decisions import DECISIONS, new_decision, open_log, read_decisions
from tests.reporting.sample_runs import make_run
from tests.reporting.test_report import NASTY
from tests.schema import ask_all

Review = Callable[..., "Client"]


@dataclasses.dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def data(self) -> Any:
        return json.loads(self.body)


@dataclasses.dataclass
class Client:
    """A browser's window on a review that runs in a thread."""

    server: ReviewServer
    seen: int = 0

    def get(self, place: str, *, token: str | None = None, **headers: str) -> Answer:
        return self._ask("GET", place, None, token, headers)

    def post(
        self, asked: object, place: str = "decide", *, token: str | None = None, **headers: str
    ) -> Answer:
        body = asked if isinstance(asked, bytes) else json.dumps(asked).encode()
        return self._ask(
            "POST", place, body, token, {"Content-Type": "application/json", **headers}
        )

    def decide(self, number: int, action: str, label: str = "", after: str | None = None) -> Answer:
        asked = {"number": number, "action": action, "label": label, "after": after}
        answer = self.post({**asked, "seen": self.seen})
        if answer.status == 200:
            self.seen = answer.data["seen"]
        return answer

    def start(self) -> Any:
        answer = self.get("start")
        assert answer.status == 200, answer.body
        self.seen = answer.data["seen"]
        return answer.data

    def _ask(
        self,
        method: str,
        place: str,
        body: bytes | None,
        token: str | None,
        headers: Mapping[str, str],
    ) -> Answer:
        address = urlsplit(self.server.url)
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=20)
        path = address.path + place if token is None else f"/{token}/{place}"
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return Answer(answer.status, Headers(answer.getheaders()), answer.read())
        finally:
            connection.close()


@pytest.fixture
def review() -> Iterator[Review]:
    """Reviews a run in a thread; all are ended after the test."""
    begun: list[tuple[ReviewServer, threading.Thread]] = []

    def begin(run: Run) -> Client:
        server = ReviewServer(run)
        thread = threading.Thread(target=server.serve, daemon=True)
        thread.start()
        begun.append((server, thread))
        return Client(server)

    yield begin
    for server, thread in begun:
        server.stop()
        thread.join(timeout=20)
        server.close()
        assert not thread.is_alive()


def reviewed_run(folder: Path, *, classes: tuple[str, ...] = ("cat", "dog"), **more: Any) -> Run:
    """A run whose rows know the content of their photos, and with one suspect of each class."""
    run = make_run(folder / "photos", classes=classes, train=5, wrong=0.2, **more)
    rows = [
        dataclasses.replace(row, sha256=_hash(run.data.root / row.path)) for row in run.data.rows
    ]
    issues = [Issue("train/0/4.jpg", "label_suspect", 0.4, f"labelled {classes[0]}, looks odd")]
    (folder / "run").mkdir()
    return dataclasses.replace(
        run,
        folder=folder / "run",
        data=Dataset.from_rows(run.data.root, rows),
        issues=(*run.issues, *issues),
    )


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else "e" * 64


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return reviewed_run(tmp_path)


@pytest.fixture
def window(review: Review, run: Run) -> Client:
    return review(run)


# --- what is shown


def test_the_page_is_complete_and_allows_nothing_from_elsewhere(window: Client) -> None:
    page = window.get("")
    assert page.status == 200
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    policy = page.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert "unsafe" not in policy
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    text = page.body.decode()
    linked = re.findall(r'(?:src|href)="([^"#]+)"', text)
    assert sorted(linked) == ["data:,", "review.css", "review.js"]
    assert not re.search(r"<script>|<style>|\son\w+=|\sstyle=", text)
    for place, kind in (("review.css", "text/css"), ("review.js", "text/javascript")):
        part = window.get(place)
        assert part.status == 200
        assert part.headers["Content-Type"].startswith(kind)
        assert not re.search(rb"https?://|@import|url\(|innerHTML|eval\(", part.body)
    assert b"--paper" in window.get("review.css").body


def test_every_element_that_the_script_asks_for_is_in_the_page() -> None:
    page = (PAGE / "review.html").read_text(encoding="utf-8")
    script = (PAGE / "review.js").read_text(encoding="utf-8")
    asked = set(re.findall(r'byId\("([\w-]+)"\)', script))
    assert len(asked) > 20
    assert asked <= set(re.findall(r'\sid="([\w-]+)"', page))
    assert set(re.findall(r'data-do="(\w+)"', page)) == {
        *("keep", "relabel", "exclude", "undo", "next", "previous")
    }


def test_the_queue(window: Client, run: Run) -> None:
    start = window.start()
    assert start["name"] == "photos"
    assert start["classes"] == ["cat", "dog"]
    assert start["decisions"] == {}
    assert set(start["kinds"]) == {"error", "label_suspect"}
    first = start["photos"][0]
    assert first["predicted"] != first["label"]
    assert first["confidence"] >= 0.5
    assert first["likely"] == ["cat", "dog"]
    assert run.data.rows[first["id"]].path == first["path"]
    assert [p["path"] for p in start["photos"]][-1] == "train/0/4.jpg"


def test_photos_are_upright_small_and_without_metadata(tmp_path: Path, review: Review) -> None:
    run = reviewed_run(tmp_path)
    path = run.data.root / "train/0/4.jpg"
    picture = Image.new("RGB", (2000, 1000), (200, 30, 30))
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    exif[0x010F] = "a camera"
    picture.save(path, exif=exif)
    rows = [
        dataclasses.replace(r, sha256=_hash(path)) if r.path == "train/0/4.jpg" else r
        for r in run.data.rows
    ]
    run = dataclasses.replace(run, data=Dataset.from_rows(run.data.root, rows))
    window = review(run)
    number = window.start()["photos"][-1]["id"]
    answer = window.get(f"photo/{number}")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "image/jpeg"
    assert b"camera" not in answer.body
    with Image.open(io.BytesIO(answer.body)) as shown:
        assert shown.size == (640, 1280)


def test_only_photos_of_the_review_are_served(window: Client, run: Run) -> None:
    queued = {photo["id"] for photo in window.start()["photos"]}
    other = next(i for i in range(len(run.data.rows)) if i not in queued)
    for place in (f"photo/{other}", "photo/9999"):
        assert window.get(place).status == 400
    for place in (
        *("photo/../run.json", "photo/%2e%2e/run.json", "photo/-1", "photo/", "photo/0x1"),
        *("../run.json", "run.json", "server.py", "photo/" + "9" * 400, "nothing"),
    ):
        assert window.get(place).status == 404


def test_a_photo_that_is_gone_or_changed_says_so_and_can_be_decided_on(
    window: Client, run: Run
) -> None:
    first, second = window.start()["photos"][:2]
    (run.data.root / first["path"]).unlink()
    (run.data.root / second["path"]).write_bytes(b"another content")
    gone, changed = (window.get(f"photo/{p['id']}") for p in (first, second))
    assert (gone.status, gone.data["problem"]) == (410, "the file is not there")
    assert changed.status == 410
    assert "has changed since the run" in changed.data["problem"]
    assert window.decide(first["id"], "exclude").status == 200


def test_the_other_photo_of_a_pair_is_served(tmp_path: Path, review: Review) -> None:
    detail = "train/0/0.jpg, labelled cat and dog"
    pair = Issue("train/1/3.jpg", "near_duplicate", 0.99, detail, other="train/0/0.jpg")
    run = reviewed_run(tmp_path, issues=[pair])
    window = review(run)
    photos = {p["path"]: p for p in window.start()["photos"]}
    twin = photos["train/1/3.jpg"]["reasons"][0]["twin"]
    assert (twin["path"], twin["label"]) == ("train/0/0.jpg", "cat")
    assert window.get(f"photo/{twin['id']}").status == 200


def test_names_with_markup_arrive_as_text(tmp_path: Path, review: Review) -> None:
    run = reviewed_run(tmp_path, classes=tuple(NASTY))
    window = review(run)
    start = window.get("start")
    assert start.headers["Content-Type"] == "application/json"
    assert start.data["classes"] == sorted(NASTY)
    photo = start.data["photos"][0]
    for name in NASTY[:2]:
        decision = window.start()["decisions"].get(str(photo["id"]))
        answer = window.decide(photo["id"], "relabel", name, decision and decision["when"])
        assert answer.status == 200, answer.body
    assert read_decisions(run.folder / DECISIONS).entries[-1].label in NASTY


def test_of_many_classes_the_likeliest_have_keys(tmp_path: Path, review: Review) -> None:
    classes = tuple(f"c{i:02}" for i in range(12))
    both = [
        Row(f"{name}/both.jpg", "d" * 64, name, status="conflict", reason="the same image is ...")
        for name in ("c03", "c07")
    ]
    conflict = Issue("c07/both.jpg", "label_conflict", 1.0, both[1].reason)
    run = reviewed_run(tmp_path, classes=classes, more_rows=both, issues=[conflict])
    start = review(run).start()
    assert len(start["classes"]) == 12
    first, *others = start["photos"]
    assert first["likely"] == ["c07", "c03"]  # not predicted, so those in question
    assert len(others) > 10
    for photo in others:
        assert len(photo["likely"]) == 9
        assert photo["likely"][0] == photo["predicted"]


# --- deciding


def test_decisions_are_kept_at_once_and_nothing_else_changes(window: Client, run: Run) -> None:
    before = {p: p.read_bytes() for p in run.data.root.rglob("*.jpg")}
    one, two, three = window.start()["photos"]
    assert (
        window.decide(one["id"], "relabel", "dog" if one["label"] == "cat" else "cat").data[
            "decisions"
        ][str(one["id"])]["action"]
        == "relabel"
    )
    assert window.decide(two["id"], "exclude").status == 200
    kept = window.decide(three["id"], "keep").data
    assert kept["decisions"] == {
        str(three["id"]): {
            "action": "keep",
            "label": three["label"],
            "when": read_decisions(run.folder / DECISIONS).entries[-1].when,
        }
    }
    after = kept["decisions"][str(three["id"])]["when"]
    undone = window.decide(three["id"], "undo", after=after)
    assert undone.data["decisions"] == {str(three["id"]): None}
    log = read_decisions(run.folder / DECISIONS)
    assert [e.action for e in log.entries] == ["relabel", "exclude", "keep", "undo"]
    assert [e.was for e in log.entries] == [p["label"] for p in (one, two, three, three)]
    assert {p: p.read_bytes() for p in run.data.root.rglob("*.jpg")} == before
    assert window.server.session.decided() == {"relabel": 1, "exclude": 1}
    assert {p.name for p in run.folder.iterdir()} == {DECISIONS}


def test_a_new_class_can_be_named(window: Client, run: Run) -> None:
    photo = window.start()["photos"][0]
    answer = window.decide(photo["id"], "relabel", "  <b>bird</b> ")
    assert answer.data["decisions"][str(photo["id"])]["label"] == "<b>bird</b>"


def test_a_review_that_is_opened_again_knows_what_was_decided(review: Review, run: Run) -> None:
    photo = review(run).start()["photos"][1]
    review(run).decide(photo["id"], "exclude")
    again = review(run).start()
    assert again["decisions"][str(photo["id"])]["action"] == "exclude"
    assert again["seen"] == 1


def test_two_windows_see_what_the_other_decided_and_overwrite_nothing(
    review: Review, run: Run
) -> None:
    first, second = review(run), review(run)  # two servers, as of two processes
    photo, other = first.start()["photos"][:2]
    second.start()
    decided = first.decide(photo["id"], "exclude").data["decisions"][str(photo["id"])]
    refused = second.decide(photo["id"], "keep")
    assert refused.status == 409
    assert "meanwhile" in refused.data["problem"]
    assert refused.data["decisions"] == {str(photo["id"]): decided}
    assert second.decide(other["id"], "keep").status == 200
    told = first.get(f"changes?seen={first.seen}").data
    assert set(told["decisions"]) == {str(other["id"])}
    replaced = second.decide(photo["id"], "keep", after=decided["when"])
    assert replaced.status == 200
    assert [e.action for e in read_decisions(run.folder / DECISIONS).entries] == [
        *("exclude", "keep", "keep")
    ]
    late = first.decide(photo["id"], "undo", after=decided["when"])
    assert late.status == 409
    assert late.data["decisions"][str(photo["id"])]["action"] == "keep"


def test_many_at_once_lose_nothing(review: Review, run: Run) -> None:
    windows = [review(run) for _ in range(2)]
    photos = windows[0].start()["photos"]
    numbers = [photo["id"] for photo in photos]
    statuses: list[int] = []

    def go_through(window: Client) -> None:
        statuses.extend(window.decide(number, "exclude").status for number in numbers)

    threads = [threading.Thread(target=go_through, args=(window,)) for window in windows]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200] * len(numbers) + [409] * len(numbers)
    assert len(read_decisions(run.folder / DECISIONS).entries) == len(numbers)


def test_a_half_written_line_is_no_obstacle(review: Review, run: Run) -> None:
    row = run.data.rows[0]
    with open_log(run.folder / DECISIONS) as writer:
        writer.add(new_decision(row, "keep"))
    with (run.folder / DECISIONS).open("ab") as file:
        file.write(b'2026-05-04T10:00:00+00:00,"train/0')
    window = review(run)
    assert "incomplete" in window.server.session.note
    start = window.start()
    assert list(start["decisions"]) == ["0"]
    other = next(p["id"] for p in start["photos"] if p["id"] != 0)
    assert window.decide(other, "exclude").status == 200
    assert len(read_decisions(run.folder / DECISIONS).entries) == 2


def test_decisions_that_cannot_be_understood_are_one_line(run: Run) -> None:
    (run.folder / DECISIONS).write_text("label,path\n", encoding="utf-8")
    with pytest.raises(DataError, match="is no file of review decisions"):
        ReviewServer(run)


def test_a_folder_that_cannot_be_written_is_told(window: Client, run: Run) -> None:
    photo = window.start()["photos"][0]
    run.folder.rename(run.folder.with_name("moved"))
    answer = window.decide(photo["id"], "keep")
    assert answer.status == 500
    assert "could not write" in answer.data["problem"]


# --- what is refused


def test_only_who_knows_the_address_is_answered(window: Client) -> None:
    token = urlsplit(window.server.url).path.strip("/")
    assert len(token) >= 32
    for wrong in ("", "x", token[:-1], token.swapcase(), "%C3%A9"):
        assert window.get("start", token=wrong).status == 404
        assert window.post({}, token=wrong).status == 404
    assert window.get("start", token=token).status == 200


def test_only_this_machine_is_listened_to(window: Client) -> None:
    address = urlsplit(window.server.url)
    assert address.hostname == "127.0.0.1"
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.2", address.port), timeout=20)


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "[::1"]
)
def test_other_host_names_are_refused(window: Client, host: str) -> None:
    assert window.get("start", Host=host).status == 403
    assert window.post({}, Host=host).status == 403


@pytest.mark.parametrize("host", ["127.0.0.1:9000", "localhost:9000", "localhost"])
def test_this_machine_behind_a_tunnel_is_answered(window: Client, host: str) -> None:
    assert window.get("start", Host=host).status == 200


def test_other_pages_cannot_decide(window: Client, run: Run) -> None:
    photo = window.start()["photos"][0]
    asked = {"number": photo["id"], "action": "exclude", "label": "", "after": None, "seen": 0}
    for origin in ("http://evil.example", "null", "https://127.0.0.1", "http://127.0.0.1:1"):
        assert window.post(asked, Origin=origin).status == 403
    assert window.post(asked, Content_Type="text/plain").status == 415
    assert not (run.folder / DECISIONS).exists()
    own = window.server.url.removesuffix(urlsplit(window.server.url).path)
    assert window.post(asked, Origin=own).status == 200


@pytest.mark.parametrize(
    "asked",
    [
        b"{",
        b"\xff",
        b"[" * 5000,
        [],
        {},
        {"number": "0", "action": "keep", "label": "", "after": None, "seen": 0},
        {"number": True, "action": "keep", "label": "", "after": None, "seen": 0},
        {"number": 9999, "action": "keep", "label": "", "after": None, "seen": 0},
        {"number": -1, "action": "keep", "label": "", "after": None, "seen": 0},
        {"number": 0, "action": "burn", "label": "", "after": None, "seen": 0},
        {"number": 0, "action": "undo", "label": "", "after": None, "seen": 0},
        {"number": 0, "action": "relabel", "label": " ", "after": None, "seen": 0},
        {"number": 0, "action": "relabel", "label": "a\nb", "after": None, "seen": 0},
        {"number": 0, "action": "relabel", "label": "x" * 300, "after": None, "seen": 0},
        {"number": 0, "action": "keep", "label": "", "after": None, "seen": 0, "more": 1},
    ],
)
def test_requests_that_make_no_sense_change_nothing(
    window: Client, run: Run, asked: object
) -> None:
    assert 0 in {photo["id"] for photo in window.start()["photos"]}
    answer = window.post(asked)
    assert answer.status == 400
    assert answer.data["problem"]
    assert not (run.folder / DECISIONS).exists()
    assert window.get("start").status == 200


def test_bodies_that_are_too_large_or_of_no_length_are_refused(window: Client) -> None:
    assert window.post(b" " * 20_000).status == 413
    assert window.post({}, Content_Length="x").status == 400
    assert window.post({}, place="start").status == 405


def test_a_port_in_use_is_one_line(window: Client, run: Run) -> None:
    port = urlsplit(window.server.url).port
    assert port is not None
    with pytest.raises(UsageError, match=f"port {port} is in use; give another --port"):
        ReviewServer(run, port=port)
    with pytest.raises(UsageError, match="the port is 70000, expected 0 to 65535"):
        ReviewServer(run, port=70_000)


def test_a_visitor_that_leaves_amid_a_request_harms_nothing(window: Client) -> None:
    address = urlsplit(window.server.url)
    for sent in (b"", b"GET /", b"POST " + address.path.encode() + b"decide HTTP/1.1\r\n"):
        with socket.create_connection((address.hostname, address.port), timeout=20) as connection:
            connection.sendall(sent)
    assert window.get("start").status == 200


def test_unlabelled_rows_and_twins_without_photos_do_no_harm(
    tmp_path: Path, review: Review
) -> None:
    lost = Row("lost.jpg", "d" * 64, "cat", status="conflict", reason="the same image is ...")
    run = reviewed_run(
        tmp_path,
        more_rows=[lost],
        issues=[Issue("lost.jpg", "label_conflict", 1.0, lost.reason)],
    )
    window = review(run)
    photo = window.start()["photos"][0]
    assert photo["path"] == "lost.jpg"
    assert photo["confidence"] is None
    assert photo["reasons"][0]["twin"] is None
    assert window.get(f"photo/{photo['id']}").status == 410


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_no_request_that_fits_the_description_breaks_it(window: Client) -> None:
    statuses = ask_all(window.server.url, examples=60)
    assert statuses.total() > 100
    assert {200, 400} <= set(statuses)
    assert window.get("start").status == 200
