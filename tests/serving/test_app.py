"""The application behind a server: what it answers, and what it refuses."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI
from PIL import Image
from starlette.testclient import TestClient

import regraft as rg
from regraft.approaches.base import repeated_folds
from regraft.errors import StorageError, UsageError
from regraft.heads import softmax
from regraft.serving import ServerLimits
from regraft.serving.answering import Answerer, Upload
from regraft.serving.app import ExtraPage, create_app
from regraft.serving.heat import HeatMapper
from tests.odd_images import png_header
from tests.slow_images import SLOW


@pytest.fixture(scope="module")
def model(made_once: Path) -> rg.Model:
    return rg.load(made_once / "run")


@pytest.fixture(scope="module")
def photos(made_once: Path) -> list[Path]:
    return sorted((made_once / "photos").rglob("*.jpg"))


@pytest.fixture
def client(model: rg.Model) -> Iterator[TestClient]:
    with TestClient(create_app(model)) as running:
        yield running


def served(model: rg.Model, **options: Any) -> TestClient:
    return TestClient(create_app(model, **options))


def sent(*files: tuple[str, bytes]) -> list[tuple[str, tuple[str, bytes]]]:
    return [("files", file) for file in files]


def png(width: int = 8, height: int = 6) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), (200, 100, 50)).save(out, "PNG")
    return out.getvalue()


# --- answers


def test_it_says_what_the_model_says(
    client: TestClient, model: rg.Model, photos: list[Path]
) -> None:
    some = photos[::6]
    answer = client.post("/predict", files=sent(*((p.name, p.read_bytes()) for p in some)))
    assert answer.status_code == 200
    for said, expected in zip(answer.json()["results"], model.predict(some), strict=True):
        assert said["file"] == Path(expected.path).name
        assert said["predicted"] == expected.predicted
        assert said["set"] == list(expected.set)
        assert said["flag"] == expected.flag
        assert said["unfamiliarity"] == pytest.approx(expected.unfamiliarity, abs=1e-6)
        assert list(said["probabilities"]) == ["clean", "messy"]
        assert list(said["probabilities"].values()) == pytest.approx(
            expected.probabilities, abs=1e-6
        )
        assert "heat_map" not in said


def test_one_that_cannot_be_read_is_flagged_among_others(
    client: TestClient, photos: list[Path]
) -> None:
    files = sent(("bad.jpg", b"no photo"), ("good.jpg", photos[0].read_bytes()))
    first, second = client.post("/predict", files=files).json()["results"]
    assert (first["flag"], first["confidence"], first["probabilities"]) == ("unreadable", None, {})
    assert first["reason"].startswith("not an image")
    assert second["flag"] != "unreadable"


def test_none_that_can_be_read_is_an_error(client: TestClient) -> None:
    answer = client.post("/predict", files=sent(("bad.jpg", b"no photo"), ("b.jpg", b"")))
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["msg"].startswith("not an image")


def test_facts_on_the_model(client: TestClient, model: rg.Model) -> None:
    facts = client.get("/model").json()
    assert facts["classes"] == ["clean", "messy"]
    assert facts["backbone"]["licence"] == "Apache-2.0"
    assert facts["unfamiliar_from"] == model.unfamiliar_from
    assert facts["set_thresholds"] == dict(zip(model.classes, model.set_thresholds, strict=True))
    assert facts["heat_maps"] is True
    assert facts["limits"]["images"] == 32
    assert client.get("/health").json() == {"status": "ok"}


def test_figures_count_what_was_said(client: TestClient, photos: list[Path]) -> None:
    client.post("/predict", files=sent(("a.jpg", photos[0].read_bytes())))
    client.get("/no/such/page")
    text = client.get("/metrics").text
    assert 'regraft_requests_total{path="/predict",status="200"} 1.0' in text
    assert 'regraft_requests_total{path="other",status="404"} 1.0' in text
    assert "regraft_request_seconds_count 1.0" in text
    assert "regraft_unfamiliarity_count 1.0" in text
    assert "regraft_open_requests 0.0" in text
    assert 'predicted="clean"' in text


def test_the_page_loads_nothing_from_elsewhere(client: TestClient) -> None:
    page = client.get("/")
    assert "http://" not in page.text
    assert "https://" not in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    for part in ("/page.css", "/page.js", "/intake.js"):
        assert client.get(part).status_code == 200
        assert "//" not in client.get(part).text.replace("// ", "").replace("//\n", "")
    assert client.get("/docs").status_code == 404


def test_the_description_is_complete(client: TestClient) -> None:
    described = client.get("/openapi.json").json()
    assert set(described["paths"]) == {"/predict", "/model", "/health", "/metrics"}
    assert {"200", "408", "413", "422", "429"} <= set(
        described["paths"]["/predict"]["post"]["responses"]
    )


# --- heat maps


def test_a_heat_map_adds_up_to_the_logit(model: rg.Model, photos: list[Path]) -> None:
    mapper = HeatMapper.of(model)
    assert mapper is not None
    image = np.asarray(Image.open(photos[0]).convert("RGB"))
    said, heat = mapper.predict(image)
    assert said == model.predict_image(image)
    values = np.array(heat["values"])
    assert values.shape == (7, 7)
    assert values.max() == 1
    assert values.min() >= 0
    left, top, right, bottom = heat["box"]
    assert 0 < left < right < 1
    assert 0 < top < bottom < 1
    # The mean over places of features times weights, and the bias, is the logit.
    probabilities, _, places = mapper._engine.run(image)
    logits = places[0].mean(axis=(1, 2)) @ model.tensors["head.weights"]
    logits = (logits + model.tensors["head.bias"]) / model.temperature
    assert softmax(logits[None].astype(float))[0] == pytest.approx(probabilities, abs=1e-4)


def test_two_views_are_laid_over_each_other(
    photos: list[Path], made_once: Path, graphs: Path
) -> None:
    data = rg.scan(made_once / "photos")
    mapper = HeatMapper.of(rg.LinearProbe(views=2).fit(data))
    assert mapper is not None
    image = np.asarray(Image.open(photos[0]).convert("RGB").resize((224, 224)))
    _, heat = mapper.predict(image)
    _, mirrored = mapper.predict(np.ascontiguousarray(image[:, ::-1]))
    here, there = np.array(heat["values"]), np.array(mirrored["values"])
    assert here == pytest.approx(there[:, ::-1], abs=0.02)


def _on_every_depth(data: rg.Dataset) -> rg.Model:
    """A model whose head looks at maps of several sizes and at the last layer."""
    approach = rg.MultilayerProbe()
    measured = approach.cross_validate(data, repeated_folds(data, folds=3, repeats=1))
    chosen = {
        "depths": ["stem", "boundary_4", "end", "features"],
        "widths": [96, 240, 960, 1280],
        "penalties": [8.0, 8.0, 8.0, 128.0],
        "weights": [1.0, 0.5, 0.25, 0.125],
    }
    return approach.fit(data, cross_validation=replace(measured, chosen=chosen))


def test_a_heat_map_of_several_depths_adds_up_to_the_logit(
    made_once: Path, photos: list[Path], graphs: Path
) -> None:
    model = _on_every_depth(rg.scan(made_once / "photos"))
    mapper = HeatMapper.of(model)
    assert mapper is not None
    gaps, sums = [], []
    for photo in photos[:2]:
        image = np.asarray(Image.open(photo).convert("RGB"))
        said, heat = mapper.predict(image)
        assert said == model.predict_image(image)
        assert np.array(heat["values"]).shape == (14, 14)
        first, second, *_ = said.probabilities
        gaps.append(model.temperature * np.log(first / second))
        sums.append(mapper.evidence(image, 0).sum() - mapper.evidence(image, 1).sum())
    # What is the same for all photos, the bias and the centre, drops out of the difference.
    assert sums[0] - sums[1] == pytest.approx(gaps[0] - gaps[1], rel=1e-3, abs=1e-3)


def test_a_head_without_weights_has_no_heat_map(
    made_once: Path, photos: list[Path], warm_cache: Path
) -> None:
    model = rg.Knn().fit(rg.scan(made_once / "photos"))
    assert HeatMapper.of(model) is None
    with served(model) as client:
        assert client.get("/model").json()["heat_maps"] is False
        answer = client.post("/predict?heat_map=true", files=sent(("a", photos[0].read_bytes())))
        assert "heat_map" not in answer.json()["results"][0]


def test_a_heat_map_is_sent_when_it_is_asked_for(client: TestClient, photos: list[Path]) -> None:
    files = sent(("a.jpg", photos[0].read_bytes()))
    (said,) = client.post("/predict?heat_map=true", files=files).json()["results"]
    assert set(said["heat_map"]) == {"values", "box"}


# --- refusals


@pytest.mark.parametrize("body", [b"", b"--x\r\n", b"{}"])
@pytest.mark.parametrize("kind", ["multipart/form-data; boundary=x", "application/json", ""])
def test_what_is_no_upload_is_refused(client: TestClient, body: bytes, kind: str) -> None:
    answer = client.post("/predict", content=body, headers={"content-type": kind})
    assert answer.status_code in (400, 422)
    assert "detail" in answer.json()


def test_too_many_photos(model: rg.Model) -> None:
    with served(model, limits=ServerLimits(inputs=2)) as client:
        answer = client.post("/predict", files=sent(*[("a.png", png())] * 3))
    assert (answer.status_code, answer.json()) == (413, {"detail": "3 photos, expected at most 2"})


def test_too_many_pixels(model: rg.Model) -> None:
    with served(model, limits=ServerLimits(megapixels=0.01)) as client:
        answer = client.post("/predict", files=sent(("big.png", png(200, 100))))
        assert answer.status_code == 413
        assert answer.json()["detail"].startswith("big.png: 200 x 100 pixels")
        bomb = png_header(60_000, 60_000)
        answer = client.post("/predict", files=sent(("bomb.png", bomb), ("a.png", png())))
        assert answer.status_code == 413


def test_too_large_a_request(model: rg.Model) -> None:
    with served(model, limits=ServerLimits(body_mb=0.01)) as client:
        answer = client.post("/predict", files=sent(("a.png", bytes(20_000))))
        assert answer.status_code == 413
        assert "larger than 0.01 MB" in answer.json()["detail"]

        def pieces() -> Iterator[bytes]:  # without a length
            yield b"--x\r\nContent-Disposition: form-data; name=files; filename=a\r\n\r\n"
            for _ in range(20):
                yield bytes(1_000)

        headers = {"content-type": "multipart/form-data; boundary=x"}
        assert client.post("/predict", content=pieces(), headers=headers).status_code == 413


def test_a_token_is_asked_for(model: rg.Model) -> None:
    with served(model, token="secret") as client:
        for path in ("/model", "/metrics", "/openapi.json"):
            assert client.get(path).status_code == 401
        assert client.get("/model", headers={"authorization": "Bearer wrong"}).status_code == 401
        answer = client.post("/predict", files=sent(("a.png", png())))
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
        right = {"authorization": "Bearer secret"}
        assert client.get("/model", headers=right).status_code == 200
        assert client.post("/predict", files=sent(("a", png())), headers=right).status_code == 200
        assert client.get("/health").status_code == client.get("/").status_code == 200


def test_another_name_for_this_machine_is_refused(model: rg.Model) -> None:
    with served(model, hosts=("127.0.0.1", "[::1]")) as client:
        for host, status in (
            ("127.0.0.1:8000", 200),
            ("[::1]:8000", 200),
            ("elsewhere.example", 403),
            ("", 403),
        ):
            assert client.get("/health", headers={"host": host}).status_code == status


@pytest.mark.parametrize(
    "name", ["body_mb", "megapixels", "characters", "inputs", "requests", "answer_s"]
)
def test_limits_are_above_zero(name: str) -> None:
    with pytest.raises(UsageError, match=f"the limit {name} is 0"):
        ServerLimits(**{name: 0})


def test_too_many_requests_at_once_and_too_slow_ones(model: rg.Model) -> None:
    app = create_app(model, limits=ServerLimits(requests=1, body_s=0.3))

    async def both() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        slow = asyncio.create_task(_request(app, pause=5.0))
        await asyncio.sleep(0.05)
        return await _request(app), await slow

    refused, slow = asyncio.run(both())
    assert refused[0]["status"] == 429
    assert (b"retry-after", b"1") in refused[0]["headers"]
    assert slow[0]["status"] == 408
    assert b"took longer than 0.3 s" in slow[1]["body"]


async def _request(app: FastAPI, *, pause: float = 0.0) -> list[dict[str, Any]]:
    """What comes back of a request whose body ends after `pause` seconds."""
    heard: list[dict[str, Any]] = []
    begun = False

    async def receive() -> dict[str, Any]:
        nonlocal begun
        if begun:
            await asyncio.sleep(pause)
        begun = True
        return {"type": "http.request", "body": b"--x", "more_body": pause > 0}

    async def send(message: Any) -> None:
        heard.append(message)

    headers = [(b"content-type", b"multipart/form-data; boundary=x")]
    scope = {"type": "http", "method": "POST", "path": "/predict", "headers": headers}
    scope |= {"query_string": b"", "raw_path": b"/predict", "root_path": "", "scheme": "http"}
    scope |= {"server": ("127.0.0.1", 80), "client": None, "http_version": "1.1"}
    await app(scope, receive, send)  # type: ignore[arg-type]
    return heard


class SlowModel(rg.Model):
    """Takes 0.4 s for each photo."""

    def predict_array(self, *arguments: Any, **options: Any) -> rg.Prediction:
        time.sleep(0.4)
        return super().predict_array(*arguments, **options)


def test_photos_that_take_too_long_are_given_up(model: rg.Model) -> None:
    slow = SlowModel(**{one.name: getattr(model, one.name) for one in fields(model)})
    answerer = Answerer(slow, most=10**6, jobs=1)

    async def ask() -> None:
        await answerer.answer([Upload("a", png())] * 5, heat_map=False, within_s=0.1)

    started = time.monotonic()
    with pytest.raises(TimeoutError):
        asyncio.run(ask())
    answerer.close()  # one was under way, four were dropped
    assert time.monotonic() - started < 1.5
    with served(slow, limits=ServerLimits(answer_s=0.1)) as client:
        answer = client.post("/predict", files=sent(("a.png", png())))
    assert answer.status_code == 429
    assert "not done within 0.1 s" in answer.json()["detail"]


def test_class_names_with_markup_stay_text(model: rg.Model) -> None:
    odd = replace(model, classes=("<img src=x>", 'a"b'))
    with served(odd) as client:
        answer = client.post("/predict", files=sent(("<b>.png", png())))
        assert answer.headers["content-type"] == "application/json"
        assert list(answer.json()["results"][0]["probabilities"]) == ["<img src=x>", 'a"b']


def test_further_pages_bring_their_own_policy(model: rg.Model) -> None:
    def gone() -> str:
        raise StorageError("there is no history")

    pages = {
        "/timeline": ExtraPage("text/html", lambda: "<p>states</p>"),
        "/timeline.csv": ExtraPage("text/csv", gone),
    }
    with served(model, pages=pages) as client:
        page = client.get("/timeline")
        assert page.text == "<p>states</p>"
        assert "style-src 'unsafe-inline'" in page.headers["content-security-policy"]
        assert "script-src" not in page.headers["content-security-policy"]
        assert page.headers["x-content-type-options"] == "nosniff"
        missing = client.get("/timeline.csv")
        assert (missing.status_code, missing.json()["detail"]) == (404, "there is no history")
        assert client.get("/model").json()["pages"] == ["/timeline", "/timeline.csv"]


def test_photos_may_be_corrected_where_that_is_allowed(model: rg.Model) -> None:
    kept: list[tuple[bytes, str, str, str]] = []

    def keep(*one: Any) -> None:
        if one[0] == b"bad":
            raise StorageError("the disk is full")
        kept.append(one)

    def correct(client: TestClient, data: bytes, **form: str) -> Any:
        return client.post("/correct", files={"file": ("a.jpg", data)}, data=form)

    with served(model, keep=keep) as client:
        assert client.get("/model").json()["corrections"] is True
        assert correct(client, b"photo", label="messy", said="clean").status_code == 201
        assert kept == [(b"photo", "messy", "clean", "a.jpg")]
        assert correct(client, b"photo", label="messy", said="<b>").status_code == 201
        assert kept[-1][2] == ""
        refused = correct(client, b"photo", label="other")
        assert refused.status_code == 400
        assert refused.json()["detail"] == "the label is 'other', expected clean, messy"
        assert correct(client, b"bad", label="messy").json()["detail"] == "the disk is full"
        assert client.post("/correct", data={"label": "messy"}).status_code == 422
    with served(model) as client:
        assert correct(client, b"photo", label="messy").status_code == 404
        assert client.get("/model").json()["corrections"] is False


@pytest.mark.parametrize(
    "headers",
    [{"origin": "https://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}],
)
def test_a_page_of_another_site_can_neither_correct_nor_predict(
    model: rg.Model, headers: dict[str, str]
) -> None:
    kept: list[object] = []
    with served(model, keep=lambda *one: kept.append(one)) as client:
        file = {"file": ("a.png", png())}
        answer = client.post("/correct", files=file, data={"label": "messy"}, headers=headers)
        assert answer.status_code == 403
        answer = client.post("/predict", files=sent(("a.png", png())), headers=headers)
        assert answer.status_code == 403
    assert kept == []


@pytest.mark.parametrize("name", ["scans.jpg", "filled.jpg", "icon.ico"])
def test_a_photo_that_would_keep_a_worker_busy_is_refused(model: rg.Model, name: str) -> None:
    with served(model, limits=ServerLimits(answer_s=20)) as client:
        answer = client.post("/predict", files=sent((name, SLOW[name]())))
        assert answer.status_code in (413, 422)
        assert client.post("/predict", files=sent(("a.png", png()))).status_code == 200
