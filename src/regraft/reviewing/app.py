"""A review in, the application that answers over HTTP out: below its token, all else is unknown.

GET  TOKEN/             the page
GET  TOKEN/start        everything the page begins with
GET  TOKEN/changes      what was decided since
GET  TOKEN/photo/N      a photo of the queue
POST TOKEN/decide       a decision
GET  TOKEN/openapi.json
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Query, Request
from fastapi import Path as InPath
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException as AnyHTTPException
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from regraft._version import __version__
from regraft.errors import DataError, RegraftError, UnreadableInputError
from regraft.reporting.pages import stylesheet
from regraft.reviewing.session import DecidedMeanwhileError, Session
from regraft.web.guards import Guard

PAGE = Path(__file__).parent / "page"
_MOST_BYTES = 16_384  # of a decision
_BODY_S = 30.0
_REQUESTS = 64
_NUMBER = 1_000_000_000  # more than any run has photos
_FILES: Mapping[str, str] = {
    "": "text/html; charset=utf-8",
    "review.css": "text/css; charset=utf-8",
    "review.js": "text/javascript; charset=utf-8",
}
_UNSTORED = {"cache-control": "no-store"}
_STATUS: Mapping[type[Exception], int] = {UnreadableInputError: 410, DataError: 400}


class Decided(BaseModel):
    """A decision as the page sends it; see `Session.decide`."""

    model_config = ConfigDict(strict=True, extra="forbid")

    number: int
    action: str
    label: str
    after: str | None
    seen: int


class Problem(BaseModel):
    """Why a request was refused."""

    problem: str


def create_app(session: Session, *, token: str, hosts: tuple[str, ...]) -> FastAPI:
    """The application for one review.

    Args:
        session: what is shown and decided.
        token: the first part of every address.
        hosts: names under which it may be asked.
    """
    app = FastAPI(
        title="regraft review",
        version=__version__,
        docs_url=None,  # these pages would load scripts from elsewhere
        redoc_url=None,
        responses={status: {"model": Problem} for status in (400, 403, 404, 408, 413, 429)},
    )

    @app.get("/start")
    def start() -> JSONResponse:
        """The queue, the classes, and what was decided."""
        return JSONResponse(session.start(), headers=_UNSTORED)

    @app.get("/changes")
    def changes(seen: Annotated[int, Query(ge=0, lt=_NUMBER)]) -> JSONResponse:
        """What was decided since the page had seen so many entries."""
        return JSONResponse(session.changes(seen), headers=_UNSTORED)

    @app.get("/photo/{number}", response_class=Response, responses={410: {"model": Problem}})
    def photo(number: Annotated[int, InPath(ge=0, lt=_NUMBER)]) -> Response:
        """A photo of the queue, upright and small."""
        headers = {"cache-control": "private, max-age=20"}
        return Response(session.photo(number), media_type="image/jpeg", headers=headers)

    @app.post(
        "/decide",
        responses={409: {"model": Problem}, 415: {"model": Problem}},
        dependencies=[Depends(_require_json)],
    )
    def decide(decided: Decided) -> JSONResponse:
        """Append a decision."""
        return JSONResponse(session.decide(**decided.model_dump()), headers=_UNSTORED)

    for name, kind in _FILES.items():
        app.add_api_route(f"/{name}", _part_of_page(name, kind), include_in_schema=False)
    app.add_exception_handler(AnyHTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _misunderstood)
    app.add_exception_handler(RegraftError, _problem)
    app.add_exception_handler(DecidedMeanwhileError, _decided_meanwhile)
    app.add_middleware(RequestBodyLimitMiddleware, max_body_size=_MOST_BYTES)
    app.add_middleware(_BelowToken, token=token)
    app.add_middleware(
        Guard,
        body_bytes=_MOST_BYTES,
        body_s=_BODY_S,
        requests=_REQUESTS,
        hosts=hosts,
        problem="problem",
    )
    return app


class _BelowToken:
    """Answers only below an address that nobody else knows."""

    def __init__(self, app: ASGIApp, *, token: str) -> None:
        self._app = app
        self._token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            token, slash, _ = scope["path"].removeprefix("/").partition("/")
            if not (slash and secrets.compare_digest(token.encode(), self._token)):
                reason = "there is no such page; open the address that was printed"
                await JSONResponse({"problem": reason}, 404)(scope, receive, send)
                return
            scope = {**scope, "root_path": f"/{token}"}
        await self._app(scope, receive, send)


def _require_json(request: Request) -> None:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise HTTPException(415, "expected JSON")


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, AnyHTTPException)
    reason = "there is no such page" if error.status_code == 404 else str(error.detail)
    return JSONResponse({"problem": reason}, error.status_code, headers=error.headers)


async def _misunderstood(_: Request, error: Exception) -> Response:
    """An address with another number is no page; a decision that is no decision is the page's."""
    assert isinstance(error, RequestValidationError)
    faults = error.errors()
    if any(fault["loc"][0] in ("path", "query") for fault in faults):
        return JSONResponse({"problem": "there is no such page"}, 404)
    what = "; ".join(f"{'.'.join(map(str, f['loc'][1:]))}: {f['msg']}" for f in faults[:3])
    return JSONResponse({"problem": f"{what[:200]}; load the page again"}, 400)


async def _problem(_: Request, error: Exception) -> Response:
    status = next((code for kind, code in _STATUS.items() if isinstance(error, kind)), 500)
    return JSONResponse({"problem": str(error)}, status, headers=_UNSTORED)


async def _decided_meanwhile(_: Request, error: Exception) -> Response:
    assert isinstance(error, DecidedMeanwhileError)
    return JSONResponse({"problem": str(error), **error.changes}, 409, headers=_UNSTORED)


def _part_of_page(name: str, kind: str) -> Any:
    async def part() -> Response:
        return Response(_file(name), media_type=kind, headers=_UNSTORED)

    return part


@cache
def _file(name: str) -> bytes:
    """A part of the page; the style is that of the report, with what is needed beside."""
    data = (PAGE / (name or "review.html")).read_bytes()
    return stylesheet() + data if name == "review.css" else data
