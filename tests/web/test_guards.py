"""Who is answered and who is refused, whatever the application is."""

from __future__ import annotations

import asyncio
import json
import logging
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regraft.errors import ModelError
from regraft.web.guards import Guard

OWN = "127.0.0.1:8000"
EVIL = "https://evil.example"
BODY_BYTES = 1_000


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def reason(self) -> str:
        return str(json.loads(self.body)["detail"])


async def _ok(scope: Any, receive: Any, send: Any) -> None:
    if scope["method"] == "POST":
        while (await receive()).get("more_body"):
            pass
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"answered"})


def ask(
    method: str = "POST",
    path: str = "/predict",
    *,
    host: str | None = OWN,
    headers: dict[str, str] | list[tuple[str, str]] | None = None,
    app: Any = _ok,
    guard: Guard | None = None,
    **options: Any,
) -> Answer:
    """What a guarded application answers."""
    pairs = list(headers.items() if isinstance(headers, dict) else headers or [])
    if host is not None:
        pairs.append(("host", host))
    given: dict[str, Any] = {"hosts": ("127.0.0.1", "localhost", "[::1]"), **options}
    guarded = guard or Guard(app, body_bytes=BODY_BYTES, body_s=1, requests=4, **given)
    heard: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        heard.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "headers": [(k.encode("latin-1"), v.encode("latin-1")) for k, v in pairs],
    }
    asyncio.run(guarded(scope, receive, send))
    start, body = heard
    names = {k.decode(): v.decode() for k, v in start["headers"]}
    return Answer(start["status"], names, body["body"])


# --- pages of other sites


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": EVIL},
        {"origin": "null"},
        {"origin": "http://127.0.0.1"},
        {"origin": "http://127.0.0.1:8001"},
        {"origin": "http://127.0.0.1:8000.evil.example"},
        {"origin": "http://evil@127.0.0.1:8000"},
        {"origin": "file://"},
        {"origin": ""},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {
            "sec-fetch-site": "cross-site",
            "sec-fetch-mode": "navigate",
            "sec-fetch-dest": "document",
        },
        {"sec-fetch-site": "same-origin", "origin": EVIL},
        {"sec-fetch-site": "cross-site", "origin": f"http://{OWN}"},
        {"sec-fetch-site": "anything"},
        [("origin", f"http://{OWN}"), ("origin", EVIL)],
        [("origin", EVIL), ("origin", f"http://{OWN}")],
    ],
)
@pytest.mark.parametrize("kind", ["multipart/form-data; boundary=x", "text/plain", ""])
def test_a_page_of_another_site_changes_nothing(headers: Any, kind: str) -> None:
    pairs = [*(headers.items() if isinstance(headers, dict) else headers), ("content-type", kind)]
    answer = ask(headers=pairs)
    assert answer.status == 403
    assert answer.reason == "this request comes from a page of another site"


@pytest.mark.parametrize(
    "headers",
    [
        {},  # curl, requests
        {"origin": f"http://{OWN}"},
        {"origin": f"HTTP://{OWN}"},
        {"origin": f"http://{OWN}", "sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "none"},
    ],
)
def test_its_own_page_and_programs_are_answered(headers: dict[str, str]) -> None:
    assert ask(headers=headers).status == 200


def test_behind_a_proxy_with_tls_its_own_page_is_answered() -> None:
    name = "models.example.org"
    headers = {"origin": f"https://{name}", "authorization": "Bearer t"}
    assert ask(host=name, hosts=(), token="t", headers=headers).status == 200


def test_a_link_to_the_page_is_followed_and_nothing_else() -> None:
    link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    assert ask("GET", "/", headers={**link, "sec-fetch-dest": "document"}).status == 200
    for dest in ("iframe", "frame", "object", "embed"):
        assert ask("GET", "/", headers={**link, "sec-fetch-dest": dest}).status == 403
    image = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors", "sec-fetch-dest": "image"}
    assert ask("GET", "/timeline", headers=image).status == 403
    assert ask("GET", "/model", headers={"origin": EVIL}).status == 403


def test_who_has_the_token_may_come_from_anywhere() -> None:
    right = {"origin": EVIL, "authorization": "Bearer secret"}
    assert ask(token="secret", headers=right).status == 200
    for wrong in ("Bearer ", "Bearer wrong", "secre", "Bearer s\xe9cret"):
        headers = {"authorization": wrong}
        assert ask(token="secret", headers=headers).status == 401
    assert ask(headers={"origin": EVIL, "authorization": "Bearer "}).status == 403  # there is none


# --- names


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:9", "LOCALHOST", "[::1]", "[::1]:8000"])
def test_names_of_this_machine_are_answered(host: str) -> None:
    assert ask(host=host).status == 200


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "evil@127.0.0.1", "[::1]evil.com", "127.0.0.1@evil.com", "[::1", "::1"),
        *("127.0.0.1:", "127.0.0.1:80:80", "127.0.0.1:99999999", "127.0.0.1 ", "127.0.0.1.", ""),
        *("localhost.evil.example", "127.0.0.1/", "127.0.0.1,evil.com", "0.0.0.0", "2130706433"),
    ],
)
def test_other_names_for_this_machine_are_refused(host: str) -> None:
    assert ask(host=host).status == 403
    assert ask("GET", "/", host=host).status == 403


@given(st.text(st.characters(max_codepoint=255), max_size=30))
def test_only_its_own_names_are_answered(host: str) -> None:
    own = host.partition(":")[0].lower() in ("127.0.0.1", "localhost") or host.startswith("[::1]")
    answer = ask("GET", "/", host=host)
    assert answer.status == 403 or own


@pytest.mark.parametrize(
    "host", ["192.168.1.5:8000", "[fd00::1]:8000", "nas", "nas.local", "nas.lan:80", "a.home.arpa"]
)
def test_a_server_in_a_network_is_asked_by_address_and_private_name(host: str) -> None:
    assert ask(host=host, hosts=()).status == 200
    headers = {"origin": f"http://{host}"}
    assert ask(host=host, hosts=(), headers=headers).status == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "nas.example.com:8000", "[::1]x", "a@192.168.1.5"]
)
def test_a_server_in_a_network_is_not_reached_under_a_registered_name(host: str) -> None:
    headers = {"origin": f"http://{host}"}  # a rebound page: same origin, wrong name
    answer = ask(host=host, hosts=(), headers=headers)
    assert answer.status == 403
    assert "start it with a token" in answer.reason
    assert ask(host=host, hosts=(), token="t").status == 401


# --- how much


@pytest.mark.parametrize("length", ["1001", "99999999999999999999", "-1", "x", "", "1e2", "\xb2"])
def test_a_length_that_is_too_large_or_none_is_refused(length: str) -> None:
    assert ask(headers={"content-length": length}).status == 413


def test_bodies_in_memory_are_bounded_together() -> None:
    waiting = asyncio.Event()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await waiting.wait()
        await _ok(scope, receive, send)

    guard = Guard(slow, body_bytes=BODY_BYTES, body_s=9, requests=100)
    statuses: list[int] = []

    async def post() -> None:
        async def receive() -> Any:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        headers = [(b"content-length", b"1000")]
        scope = {"type": "http", "method": "POST", "path": "/", "headers": headers}
        await guard(scope, receive, send)

    async def many() -> None:
        tasks = [asyncio.create_task(post()) for _ in range(20)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        waiting.set()
        await asyncio.gather(*tasks)
        await post()  # room again

    asyncio.run(many())
    assert sorted(statuses) == [200] * 17 + [429] * 4


# --- what goes wrong inside


def test_what_goes_wrong_is_answered_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    errors: list[Exception] = [
        *(ValueError("one\ntwo") for _ in range(50)),
        ModelError("the graph gives numbers that are none"),
        OSError(28, "No space left on device"),
        MemoryError(),
    ]

    raised = iter(errors)

    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise next(raised)

    guard = Guard(broken, body_bytes=BODY_BYTES, body_s=1, requests=4, hosts=("127.0.0.1",))
    with caplog.at_level(logging.ERROR):
        answers = [ask(guard=guard) for _ in range(len(errors))]
    assert [answer.status for answer in answers[49:]] == [500, 500, 503, 503]
    assert answers[0].reason == "unexpected ValueError: one; this is a defect in regraft"
    assert answers[50].reason == "the graph gives numbers that are none"
    assert "No space left" in answers[51].reason
    assert len(caplog.records) == 2
    assert not any(record.exc_info for record in caplog.records)


def test_every_answer_keeps_a_browser_from_loading_from_elsewhere() -> None:
    for answer in (ask("GET", "/"), ask(host="evil.example"), ask(headers={"origin": EVIL})):
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in answer.headers
