"""A model of texts over HTTP: JSON and files in, what `predict` says out."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.testclient import TestClient

import regraft as rg
from regraft.errors import ModelError
from regraft.serving import Server, ServerLimits
from regraft.serving.app import create_app
from regraft.serving.heat import HeatMapper
from regraft.workflow import serve
from tests.commands import CommandLine


@pytest.fixture(scope="module")
def model(texts_once: Path) -> rg.Model:
    return rg.load(texts_once / "run")


@pytest.fixture(scope="module")
def files(texts_once: Path) -> list[Path]:
    return sorted((texts_once / "texts").rglob("*.txt"))


@pytest.fixture
def client(model: rg.Model) -> Iterator[TestClient]:
    with TestClient(create_app(model)) as running:
        yield running


def served(model: rg.Model, **limits: Any) -> TestClient:
    return TestClient(create_app(model, limits=ServerLimits(**limits)))


def sent(*files: tuple[str, bytes]) -> list[tuple[str, tuple[str, bytes]]]:
    return [("files", file) for file in files]


# --- answers


def test_json_files_and_predict_say_the_same(
    client: TestClient, model: rg.Model, files: list[Path]
) -> None:
    some = files[::6]
    listed = client.post("/predict", json={"texts": [path.read_text("utf-8") for path in some]})
    uploaded = client.post("/predict", files=sent(*((p.name, p.read_bytes()) for p in some)))
    assert listed.status_code == uploaded.status_code == 200
    rows = zip(listed.json()["results"], uploaded.json()["results"], strict=True)
    for (one, other), expected in zip(rows, model.predict(some), strict=True):
        assert {**one, "file": other["file"]} == other
        assert other["file"] == Path(expected.path).name
        assert one["predicted"] == expected.predicted
        assert one["set"] == list(expected.set)
        assert one["flag"] == expected.flag
        assert one["unfamiliarity"] == round(expected.unfamiliarity, 6)
        rounded = [round(p, 6) for p in expected.probabilities]
        assert list(one["probabilities"].values()) == rounded
        assert "heat_map" not in one
    names = [one["file"] for one in listed.json()["results"]]
    assert names == [f"text {number}" for number in range(1, len(some) + 1)]


def test_files_come_in_any_encoding(client: TestClient) -> None:
    text = "überaus lovely, warm and friendly"
    files = sent(("a.txt", text.encode()), ("b.txt", text.encode("utf-16")))
    first, second = client.post("/predict", files=files).json()["results"]
    assert first["probabilities"] == second["probabilities"]


def test_one_that_cannot_be_read_is_flagged_among_others(client: TestClient) -> None:
    first, second = client.post("/predict", json={"texts": [" \n", "a lovely meal"]}).json()[
        "results"
    ]
    assert (first["flag"], first["confidence"], first["probabilities"]) == ("unreadable", None, {})
    assert first["reason"] == "the text is empty"
    assert second["flag"] != "unreadable"
    files = sent(("a.png", b"\x89PNG\r\n\x1a\n" + bytes(99)), ("b.txt", b"a lovely meal"))
    assert "it is an image" in client.post("/predict", files=files).json()["results"][0]["reason"]


def test_none_that_can_be_read_is_an_error(client: TestClient) -> None:
    answer = client.post("/predict", json={"texts": ["", " "]})
    assert answer.status_code == 422
    assert answer.json()["detail"] == [
        {"type": "unreadable", "loc": ["body", "texts", 0], "msg": "the file is empty"}
    ]
    assert client.post("/predict", files=sent(("a.txt", b" "))).status_code == 422


def test_halves_of_characters_are_no_error(client: TestClient) -> None:
    body = rb'{"texts": ["a lovely meal \ud83d and so on"]}'
    answer = client.post("/predict", content=body, headers={"content-type": "application/json"})
    assert answer.json()["results"][0]["predicted"] == "praise"


def test_facts_and_figures(client: TestClient, files: list[Path]) -> None:
    facts = client.get("/model").json()
    assert facts["modality"] == "text"
    assert facts["heat_maps"] is False
    assert facts["limits"] == {
        "body_mb": 32.0,
        "characters": 200_000,
        "texts": 32,
        "requests": 64,
    }
    assert client.get("/health").json() == {"status": "ok"}
    client.post("/predict", json={"texts": [files[0].read_text("utf-8")]})
    text = client.get("/metrics").text
    assert 'regraft_texts_total{flag="none",predicted="blame"} 1.0' in text
    assert "regraft_images" not in text
    assert 'regraft_requests_total{path="/predict",status="200"} 1.0' in text


def test_the_description_says_both_ways(client: TestClient) -> None:
    described = client.get("/openapi.json").json()
    post = described["paths"]["/predict"]["post"]
    assert {"200", "400", "408", "413", "422", "429"} <= set(post["responses"])
    assert "parameters" not in post  # no heat map to be asked for
    content = post["requestBody"]["content"]
    assert set(content) == {"application/json", "multipart/form-data"}
    texts = content["application/json"]["schema"]["properties"]["texts"]
    assert (texts["type"], texts["maxItems"], texts["items"]["maxLength"]) == ("array", 32, 200_000)
    assert described["info"]["description"] == "Sorts texts into blame, praise."


def test_the_page_is_one_of_texts(client: TestClient) -> None:
    page = client.get("/")
    assert "<textarea" in page.text
    assert "http://" not in page.text
    assert "https://" not in page.text
    for word in ("photo", "camera", "heat", "{%", "{{"):
        assert word not in page.text.lower()
    for part in ("/page.js", "/intake.js"):
        assert "//" not in client.get(part).text.replace("// ", "").replace("//\n", "")


def test_there_is_no_heat_map(client: TestClient, model: rg.Model) -> None:
    assert HeatMapper.of(model) is None
    answer = client.post("/predict?heat_map=true", json={"texts": ["a lovely meal"]})
    assert "heat_map" not in answer.json()["results"][0]


# --- refusals


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        (b"", 400, "the body is no JSON"),
        (b"{", 400, "the body is no JSON"),
        (b"\xff", 400, "the body is no JSON"),
        (b"[" * 100_000, 400, "the body is no JSON"),
        (b"[]", 422, "expected"),
        (b"{}", 422, "expected"),
        (b'{"texts": []}', 422, "expected"),
        (b'{"texts": "one"}', 422, "expected"),
        (b'{"texts": [1]}', 422, "expected"),
    ],
)
def test_json_of_another_form_is_refused(
    client: TestClient, body: bytes, status: int, reason: str
) -> None:
    for kind in ("application/json", "Application/JSON; charset=utf-8"):
        answer = client.post("/predict", content=body, headers={"content-type": kind})
        assert answer.status_code == status
        assert reason in json.dumps(answer.json()["detail"])


@pytest.mark.parametrize("body", [b"", b"--x\r\n", b"{}", b"files=a"])
@pytest.mark.parametrize(
    "kind",
    [
        *("multipart/form-data; boundary=x", "multipart/form-data", "application/xml", ""),
        "application/x-www-form-urlencoded",
    ],
)
def test_what_is_no_upload_is_refused(client: TestClient, body: bytes, kind: str) -> None:
    answer = client.post("/predict", content=body, headers={"content-type": kind})
    assert answer.status_code in (400, 422)
    assert "detail" in answer.json()


def test_what_is_too_much_is_refused(model: rg.Model) -> None:
    with served(model, inputs=2) as client:
        answer = client.post("/predict", json={"texts": ["a lovely meal"] * 3})
        assert (answer.status_code, answer.json()) == (
            *(413, {"detail": "3 texts, expected at most 2"}),
        )
    with served(model, characters=100) as client:
        answer = client.post("/predict", json={"texts": ["short and lovely", "ä" * 101]})
        assert (answer.status_code, answer.json()["detail"]) == (
            *(413, "text 2: the text has 101 characters, over the limit of 100: split it"),
        )
        answer = client.post("/predict", files=sent(("long.txt", b"word " * 100)))
        assert answer.status_code == 413
        assert answer.json()["detail"].startswith("long.txt: the text has 500 bytes")
        assert client.post("/predict", json={"texts": ["ä" * 100]}).status_code == 200
    with served(model, body_mb=0.01) as client:
        assert client.post("/predict", json={"texts": ["a" * 20_000]}).status_code == 413

        def pieces() -> Iterator[bytes]:  # without a length
            yield b'{"texts": ["'
            for _ in range(20):
                yield b"a" * 1_000

        headers = {"content-type": "application/json"}
        assert client.post("/predict", content=pieces(), headers=headers).status_code == 413


def test_a_token_is_asked_for(model: rg.Model) -> None:
    with TestClient(create_app(model, token="secret")) as client:
        assert client.post("/predict", json={"texts": ["a"]}).status_code == 401
        assert client.get("/intake.js").status_code == client.get("/").status_code == 200
        right = {"authorization": "Bearer secret"}
        assert client.post("/predict", json={"texts": ["a"]}, headers=right).status_code == 200


def test_what_is_for_photos_alone_is_said(texts_once: Path, model: rg.Model) -> None:
    with pytest.raises(ModelError, match="reads texts, and regraft serve --corrections is for ph"):
        serve(texts_once / "run", port=0, corrections=True)
    with pytest.raises(ModelError, match="and regraft serve --history is for photos; leave it out"):
        serve(model, port=0, history="rooms.db")


# --- over a socket


@pytest.fixture
def server(texts_once: Path) -> Iterator[Server]:
    with serve(texts_once / "run", port=0) as running:
        thread = threading.Thread(target=running.serve, daemon=True)
        thread.start()
        yield running
        running.stop()
        thread.join(timeout=20)


def test_serve_and_predict_give_the_same_numbers(
    server: Server, texts_once: Path, files: list[Path], regraft: CommandLine
) -> None:
    said = regraft.done("predict", texts_once / "run", *files[:8], "--format", "json").data
    assert "curl -H 'content-type: application/json' -d '{\"texts\": [" in server.example
    transport = httpx.HTTPTransport(retries=5)
    with httpx.Client(transport=transport, timeout=60) as client:
        texts = [path.read_text("utf-8") for path in files[:8]]
        found = client.post(f"{server.url}predict", json={"texts": texts}).json()["results"]
    assert [{**one, "file": ""} for one in found] == [
        {**{k: v for k, v in one.items() if k != "path"}, "file": ""} for one in said
    ]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_no_request_that_fits_the_description_breaks_it(server: Server) -> None:
    """schemathesis makes requests from the description, valid and not."""
    import schemathesis
    from hypothesis import HealthCheck, Phase, given, settings
    from schemathesis.checks import not_a_server_error

    schema = schemathesis.openapi.from_url(f"{server.url}openapi.json")
    asked = set()
    for found in schema.get_all_operations():
        operation = found.ok()

        @given(case=operation.as_strategy())
        @settings(
            max_examples=60,
            deadline=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
            database=None,
        )
        def ask(case: schemathesis.Case) -> None:
            asked.add((case.path, str(case.media_type)))
            case.call_and_validate(checks=[not_a_server_error])

        ask()
    assert {("/predict", "application/json"), ("/predict", "multipart/form-data")} <= asked
