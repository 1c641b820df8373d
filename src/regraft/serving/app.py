"""A model in, the application that answers over HTTP out.

GET  /          the page
POST /predict   photos or texts in, predictions out
GET  /model     what the model is
GET  /health    200 when ready
GET  /metrics   figures for Prometheus
GET  /openapi.json
"""

from __future__ import annotations

import json
import math
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, TypeAlias

from fastapi import Depends, FastAPI, File, Form, HTTPException, UploadFile
from fastapi.responses import JSONResponse, Response
from jinja2 import Environment, FileSystemLoader
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.middleware.body_limit import RequestBodyLimitMiddleware

from regraft._version import __version__
from regraft.errors import RegraftError
from regraft.kinds import things
from regraft.model import Model, Prediction
from regraft.reporting.pages import stylesheet
from regraft.serving.answering import Answer, Answerer
from regraft.serving.counting import CONTENT_TYPE, Figures
from regraft.serving.intake import Asked, intake_of
from regraft.serving.limits import ServerLimits
from regraft.web.guards import Guard

_PAGE = Path(__file__).parent / "page"
_PARTS = {
    "/": "text/html; charset=utf-8",
    "/page.css": "text/css; charset=utf-8",
    "/page.js": "text/javascript; charset=utf-8",
    "/intake.js": "text/javascript; charset=utf-8",
}
_OPEN = (*_PARTS, "/health")  # without a token
_DRAWN_POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'"
)
_PATHS = (*_PARTS, "/predict", "/correct", "/model", "/health", "/metrics", "/openapi.json")


class HeatMap(BaseModel):
    """Where the evidence for the predicted class lies."""

    values: list[list[float]] = Field(
        description="Rows of places from the top, 0 to 1; 1 is the strongest place of this photo."
    )
    box: list[float] = Field(
        description="The part of the photo they cover: left, top, right and bottom, in fractions "
        "of its width and height."
    )


class Result(BaseModel):
    """What is said of one photo or text."""

    file: str = Field(description='Its name; of a text in JSON its place: "text 1", "text 2"...')
    predicted: str = Field(description="Empty where it could not be read.")
    confidence: float | None = Field(description="Calibrated probability of that class.")
    set: list[str] = Field(description="Prediction set: every class that cannot be excluded.")
    flag: str = Field(description='"", "unsure", "unfamiliar" or "unreadable".')
    reason: str = Field(description="Why it is unreadable.")
    unfamiliarity: float | None = Field(
        description="Distance to the nearest training examples, more in doubt, 0 to 4."
    )
    probabilities: dict[str, float]
    heat_map: HeatMap | None = None


class Results(BaseModel):
    """An entry for each photo or text, in the order in which they were sent."""

    results: list[Result]


class Facts(BaseModel):
    """What the model is, and what this server accepts."""

    modality: str = Field(description='What it reads, for example "image" or "text".')
    classes: list[str]
    approach: str
    backbone: dict[str, Any]
    trained_on: dict[str, Any]
    set_thresholds: dict[str, float]
    unfamiliar_from: float
    heat_maps: bool
    pages: list[str]
    corrections: bool
    limits: dict[str, float]
    regraft: str


class Health(BaseModel):
    """Whether requests are answered."""

    status: str


class Correct(BaseModel):
    """The label under which a photo was kept."""

    label: str


class Problem(BaseModel):
    """Why a request was refused."""

    detail: str


class Fault(BaseModel):
    """What is wrong with one part of a request."""

    type: str
    loc: list[str | int] = Field(description="Where: body, field, number.")
    msg: str


class Faults(BaseModel):
    """Why nothing of a request could be used."""

    detail: list[Fault]


@dataclass(frozen=True, slots=True)
class ExtraPage:
    """A page beside that of the model: its media type, and what makes its text, off the loop.

    An HTML page brings its own styles in its text, and no script.
    """

    media_type: str
    make: Callable[[], str]


KeepCorrection: TypeAlias = Callable[[bytes, str, str, str], None]
"""Keeps a photo: its file, its right label, what the model had said, the name of the file."""


def create_app(
    model: Model,
    *,
    limits: ServerLimits | None = None,
    token: str = "",
    hosts: Collection[str] = (),
    pages: Mapping[str, ExtraPage] | None = None,
    keep: KeepCorrection | None = None,
    jobs: int | None = None,
) -> FastAPI:
    """The application for one model.

    Args:
        model: what predicts.
        limits: of requests; None for the usual ones.
        token: that requests have to carry; "" for none.
        hosts: names under which it may be asked; () for any.
        pages: further ones by path, such as "/timeline".
        keep: keeps a photo that was corrected; None where nobody may correct.
        jobs: worker threads; None for one a core.
    """
    bounds = limits or ServerLimits()
    intake = intake_of(model.transform.modality)
    figures = Figures(intake.counted)
    answerer = Answerer(model, most=intake.most(bounds), jobs=jobs)

    @asynccontextmanager
    async def running(_: FastAPI) -> AsyncIterator[None]:
        yield
        answerer.close()

    app = FastAPI(
        title="regraft",
        version=__version__,
        description=f"Sorts {things(model.transform.modality)} into {', '.join(model.classes)}.",
        docs_url=None,  # these pages would load scripts from elsewhere
        redoc_url=None,
        lifespan=running,
    )

    _add_predict(app, model, answerer, figures, bounds)

    @app.get("/model", responses=_refusals(401, 403))
    async def about() -> Facts:
        """Classes, thresholds, origin and licence of the model, and the limits of this server."""
        return Facts(
            modality=model.transform.modality,
            classes=list(model.classes),
            approach=model.approach,
            backbone=json.loads(json.dumps(dict(model.backbone))),
            trained_on=json.loads(json.dumps(dict(model.trained_on))),
            set_thresholds=dict(zip(model.classes, model.set_thresholds, strict=True)),
            unfamiliar_from=model.unfamiliar_from,
            heat_maps=answerer.has_heat_maps,
            pages=list(pages or ()),
            corrections=keep is not None,
            limits=intake.limits(bounds),
            regraft=model.made_with,
        )

    @app.get("/health", responses=_refusals(403))
    async def health() -> Health:
        """Ready: the model is loaded."""
        return Health(status="ok")

    @app.get(
        "/metrics",
        response_class=Response,
        responses={200: {"content": {"text/plain": {}}}, **_refusals(401, 403)},
    )
    async def metrics() -> Response:
        """Counts and times in Prometheus' text format."""
        return Response(figures.text(), media_type=CONTENT_TYPE)

    if keep is not None:
        _add_correct(app, model, keep)
    for path, kind in _PARTS.items():
        part = _part_of_page(_file(path, model.transform.modality), kind)
        app.add_api_route(path, part, include_in_schema=False)
    for path, page in (pages or {}).items():
        app.add_api_route(path, _extra_page(page), include_in_schema=False)
    app.add_middleware(RequestBodyLimitMiddleware, max_body_size=bounds.body_bytes)
    paths = frozenset((*_PATHS, *(pages or ())))
    app.add_middleware(
        Guard,
        body_bytes=bounds.body_bytes,
        body_s=bounds.body_s,
        requests=bounds.requests,
        token=token,
        open_paths=_OPEN,
        hosts=hosts,
        answered=lambda path, status: figures.answered(path if path in paths else "other", status),
        measured=figures.measured,
    )
    return app


def _add_predict(
    app: FastAPI, model: Model, answerer: Answerer, figures: Figures, bounds: ServerLimits
) -> None:
    intake = intake_of(model.transform.modality)
    many = things(model.transform.modality)
    reading = Depends(intake.asked)

    @app.post(
        "/predict",
        response_model=Results,
        responses={422: {"model": Faults}, **_refusals(400, 401, 403, 408, 413, 429)},
        openapi_extra=intake.body(bounds),
    )
    async def predict(asked: Asked = reading) -> Response:
        """Class, calibrated probabilities, set of possible classes and flag of each."""
        uploads = asked.uploads
        if len(uploads) > bounds.inputs:
            raise HTTPException(413, f"{len(uploads)} {many}, expected at most {bounds.inputs}")
        try:
            found = await answerer.answer(
                uploads, heat_map=asked.heat_map, within_s=bounds.answer_s
            )
        except TimeoutError as error:
            reason = f"not done within {bounds.answer_s:g} s; send fewer or smaller {many}"
            raise HTTPException(429, reason, {"retry-after": "5"}) from error
        for answer in found:
            if answer.too_large:
                raise HTTPException(413, f"{answer.prediction.path}: {answer.prediction.reason}")
        for answer in found:
            _count(figures, answer.prediction)
        if all(answer.prediction.flag == "unreadable" for answer in found):
            first = found[0].prediction
            raise HTTPException(
                422, [{"type": "unreadable", "loc": ["body", asked.field, 0], "msg": first.reason}]
            )
        return JSONResponse({"results": [result_json(model.classes, one) for one in found]})


def _add_correct(app: FastAPI, model: Model, keep: KeepCorrection) -> None:
    @app.post(
        "/correct",
        status_code=201,
        responses=_refusals(400, 401, 403, 408, 413),
    )
    async def correct(
        file: Annotated[UploadFile, File(description="The photo.")],
        label: Annotated[str, Form(description="Its class, one of the model's.")],
        said: Annotated[str, Form(description="What the model had said.")] = "",
    ) -> Correct:
        """Keep a photo under its right label, to be trained on."""
        if label not in model.classes:
            raise HTTPException(400, f"the label is {label!r}, expected {_listed(model.classes)}")
        data = await file.read()
        if said not in model.classes:
            said = ""
        try:
            await run_in_threadpool(keep, data, label, said, file.filename or "")
        except RegraftError as error:
            raise HTTPException(400, str(error)) from error
        return Correct(label=label)


def _refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Answers that say why not, for the description."""
    return {status: {"model": Problem} for status in statuses}


def _listed(classes: tuple[str, ...]) -> str:
    return ", ".join(classes[:10]) + (", ..." if len(classes) > 10 else "")


def result_json(classes: tuple[str, ...], answer: Answer) -> dict[str, Any]:
    """One entry of `results`."""
    said = answer.prediction
    readable = said.flag != "unreadable"
    found = {
        "file": said.path,
        "predicted": said.predicted,
        "confidence": round(said.confidence, 6) if readable else None,
        "set": list(said.set),
        "flag": said.flag,
        "reason": said.reason,
        "unfamiliarity": round(said.unfamiliarity, 6) if readable else None,
        "probabilities": {
            name: round(p, 6) for name, p in zip(classes, said.probabilities, strict=readable)
        },
    }
    return found if answer.heat_map is None else {**found, "heat_map": answer.heat_map}


def _count(figures: Figures, said: Prediction) -> None:
    figures.inputs.labels(said.predicted, said.flag or "none").inc()
    if not math.isnan(said.unfamiliarity):
        figures.unfamiliarity.observe(said.unfamiliarity)


def _extra_page(page: ExtraPage) -> Any:
    def made() -> Response:  # in a thread, since it is no coroutine
        try:
            text = page.make()
        except RegraftError as error:
            raise HTTPException(404, str(error)) from error
        headers = {"cache-control": "no-cache", "content-security-policy": _DRAWN_POLICY}
        return Response(text, media_type=page.media_type, headers=headers)

    return made


def _part_of_page(data: bytes, kind: str) -> Any:
    async def part() -> Response:
        return Response(data, media_type=kind, headers={"cache-control": "no-cache"})

    return part


@cache
def _file(path: str, modality: str) -> bytes:
    """A part of the page; the style is that of the report, with what is needed beside.

    How inputs come in is in two files of their own, .html and .js, see `Intake.page`.
    """
    page = intake_of(modality).page
    if path == "/":
        environment = Environment(loader=FileSystemLoader(_PAGE), autoescape=True)
        return environment.get_template(f"{page}.html").render(many=things(modality)).encode()
    data = (_PAGE / (f"{page}.js" if path == "/intake.js" else path[1:])).read_bytes()
    return stylesheet() + data if path == "/page.css" else data
