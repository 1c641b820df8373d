"""How inputs reach a server: what differs between kinds of input, an `Intake` for each.

Photos are files of a form. Texts are that, or a list in JSON; either way they are bytes that the
model's transform decodes, as it does for `regraft predict`.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import File, HTTPException, Query, Request, UploadFile
from starlette.datastructures import UploadFile as SentFile
from starlette.requests import ClientDisconnect

from regraft.kinds import Kind, kind_named
from regraft.serving.answering import Upload
from regraft.serving.limits import ServerLimits


@dataclass(frozen=True, slots=True)
class Asked:
    """What a request asks: the inputs, and whether for heat maps; `field` is where they were."""

    uploads: list[Upload]
    field: str = "files"
    heat_map: bool = False


@dataclass(frozen=True, slots=True)
class Intake:
    """One kind of input, as it is served.

    Attributes:
        page: the files of `page/` that take them, .html and .js.
        counted: all of them, in names of figures and limits.
        size: name of the limit of one input.
        asked: reads a request; a dependency of FastAPI.
        body: the request in the description, where types do not say it; {} where they do.
        most: of one input, see `Transform.read`.
        example: a command that asks for a prediction, for the address of a server.
    """

    page: str
    counted: str
    size: str
    asked: Callable[..., Awaitable[Asked]]
    body: Callable[[ServerLimits], dict[str, Any]]
    most: Callable[[ServerLimits], int | None]
    example: Callable[[str], str]

    def limits(self, bounds: ServerLimits) -> dict[str, float]:
        """What a server accepts of this kind, by name."""
        return {
            "body_mb": bounds.body_mb,
            self.size: getattr(bounds, self.size),
            self.counted: bounds.inputs,
            "requests": bounds.requests,
        }


def intake_of(name: str) -> Intake:
    """How inputs of a kind are served; those that do not say it come as files."""
    kind = kind_named(name)
    intake: Intake = _of_files(kind) if kind.intake is None else kind.intake()
    return intake


# ---- Files and photos ---------------------------------------------------------------------


async def _files(
    files: Annotated[list[UploadFile], File(description="One file or several.")],
) -> Asked:
    return Asked([Upload(f.filename or "", await f.read()) for f in files])


def _of_files(kind: Kind) -> Intake:
    return Intake(
        page="file",
        counted="files",
        size="body_mb",
        asked=_files,
        body=lambda _: {},
        most=lambda _: None,
        example=f"curl -F files=@{kind.example} {{}}predict".format,
    )


async def _photos(
    files: Annotated[list[UploadFile], File(description="One photo or several.")],
    heat_map: Annotated[
        bool, Query(description="Also where the evidence lies, if the model can say.")
    ] = False,
) -> Asked:
    return Asked([Upload(f.filename or "", await f.read()) for f in files], heat_map=heat_map)


# ---- Texts --------------------------------------------------------------------------------


async def _texts(request: Request) -> Asked:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    try:
        if kind == "application/json":
            return _listed(await request.body())
        async with request.form() as form:
            files = [one for one in form.getlist("files") if isinstance(one, SentFile)]
            uploads = [Upload(one.filename or "", await one.read()) for one in files]
    except ClientDisconnect as error:
        raise HTTPException(400, "the request ended too early") from error
    if not uploads:
        raise _nothing('expected JSON, {"texts": ["..."]}, or files of texts in the field files')
    return Asked(uploads)


def _listed(body: bytes) -> Asked:
    try:
        sent = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, 'the body is no JSON; expected {"texts": ["..."]}') from error
    texts = sent.get("texts") if isinstance(sent, dict) else None
    if not (isinstance(texts, list) and texts and all(isinstance(text, str) for text in texts)):
        raise _nothing('expected {"texts": ["...", "..."]}, one text or several', "texts")
    # JSON can hold halves of characters that no text has: they become question marks.
    uploads = [
        Upload(f"text {number}", text.encode("utf-8", "replace"))
        for number, text in enumerate(texts, start=1)
    ]
    return Asked(uploads, field="texts")


def _nothing(reason: str, field: str = "files") -> HTTPException:
    return HTTPException(422, [{"type": "missing", "loc": ["body", field], "msg": reason}])


def _texts_body(bounds: ServerLimits) -> dict[str, Any]:
    text = {"type": "string", "maxLength": bounds.characters}
    file = {"type": "string", "contentMediaType": "application/octet-stream"}
    some = {"minItems": 1, "maxItems": bounds.inputs}
    forms = {
        "application/json": ("texts", text, "One text or several."),
        "multipart/form-data": ("files", file, "Files of texts, in any encoding."),
    }
    return {
        "requestBody": {
            "required": True,
            "content": {
                media_type: {
                    "schema": {
                        "type": "object",
                        "required": [field],
                        "properties": {
                            field: {"type": "array", "items": item, "description": what, **some}
                        },
                    }
                }
                for media_type, (field, item, what) in forms.items()
            },
        }
    }


OF_PHOTOS = Intake(
    page="image",
    counted="images",
    size="megapixels",
    asked=_photos,
    body=lambda _: {},
    most=lambda bounds: bounds.pixels,
    example="curl -F files=@photo.jpg {}predict".format,
)
OF_TEXTS = Intake(
    page="text",
    counted="texts",
    size="characters",
    asked=_texts,
    body=_texts_body,
    most=lambda bounds: bounds.characters,
    example=lambda url: (
        "curl -H 'content-type: application/json' "
        f"""-d '{{"texts": ["What is this about?"]}}' {url}predict"""
    ),
)
