"""Operations of the admin API: what each is called, what it takes and what it returns.

Routes and the OpenAPI document are both made from them, so the document cannot be out of date.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from quictunnel.admin.answers import FailureAnswer

MAX_BODY = 4096
"""Bytes of a request's body, at most."""

JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of an operation."""

    name: str
    """Its name."""
    text: str
    """Its meaning, in a sentence."""
    kind: Literal["string", "integer", "boolean"] = "string"
    """Its type in JSON Schema."""
    place: Literal["query", "path", "header"] = "query"
    """Where it is in the request."""
    choices: tuple[str, ...] = ()
    """The allowed values; empty if there are more than can be listed."""
    default: str | int | bool | None = None
    """Its value if it is not given."""
    most: int | None = None
    """The largest allowed number."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One operation of the API."""

    method: Literal["GET", "POST"]
    """A GET changes nothing."""
    path: str
    """The path, with the names of path parameters in braces."""
    text: str
    """Its effect, in a sentence."""
    handle: Callable[[Request], Awaitable[Response]]
    """Answers a request."""
    answer: Any = None
    """The type of the JSON body of a good answer; None if it has another media type."""
    media_type: str = JSON
    """The media type of a good answer."""
    status: int = 200
    """The status of a good answer."""
    failures: Mapping[int, str] = field(default_factory=dict)
    """When the answer has another status, in a sentence each."""
    failure: Any = FailureAnswer
    """The type of the JSON body of such an answer; None if it has the media type of a good one."""
    parameters: tuple[Parameter, ...] = ()
    """Its parameters."""

    def route(self) -> Route:
        """Return its route."""
        return Route(self.path, self.handle, methods=[self.method])


def json_response(value: object, status: int = 200) -> Response:
    """Return a response whose body is a value as JSON."""
    return Response(msgspec.json.encode(value), status, media_type=JSON)


def error_response(sentence: str, status: int) -> Response:
    """Return a response that reports an error."""
    return json_response({"error": sentence}, status)


COMMAND_FAILURES: Mapping[int, str] = {
    400: "The body is not a JSON object.",
    413: "The body is too large.",
    415: "The content type is not that of JSON.",
}
"""When `check_command` refuses a request."""


async def check_command(request: Request) -> None:
    """Read the body of a command, which is empty or a JSON object.

    The content type must be that of JSON. A form of another site cannot send it.

    :raises HTTPException: it is anything else.
    """
    if media_type(request) != JSON:
        raise HTTPException(415, f"a command needs the header 'Content-Type: {JSON}'")
    body = await read_body(request)
    try:
        if body:
            msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError):
        raise HTTPException(400, "the body of a command is a JSON object, such as {}") from None


def media_type(request: Request) -> str:
    """Return the media type of a request's body, without parameters and in lower case."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def read_body(request: Request) -> bytes:
    """Return a request's body.

    :raises HTTPException: it is larger than `MAX_BODY`.
    """
    body = b""
    try:
        async for piece in request.stream():
            body += piece
            if len(body) > MAX_BODY:
                raise HTTPException(413, f"the body may have {MAX_BODY} bytes")
    except ClientDisconnect:
        raise HTTPException(400, "the body is not complete") from None
    return body


def text_of(request: Request, parameter: Parameter) -> str | None:
    """Return the value of a query parameter; its default if it is not given.

    :raises HTTPException: it is given twice, or is none of the choices.
    """
    values = request.query_params.getlist(parameter.name)
    if not values:
        return None if parameter.default is None else str(parameter.default)
    if len(values) > 1:
        raise HTTPException(400, f"{parameter.name} is given more than once")
    if parameter.choices and values[0] not in parameter.choices:
        raise HTTPException(400, f"{parameter.name} is one of {', '.join(parameter.choices)}")
    return values[0]


def number_of(request: Request, parameter: Parameter) -> int | None:
    """Return the value of a query parameter that is a number of 0 or more.

    :raises HTTPException: it is something else, or too large.
    """
    text = text_of(request, parameter)
    if text is None:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) <= 18):
        raise HTTPException(400, f"{parameter.name} is a number of 0 or more")
    number = int(text)
    if parameter.most is not None and number > parameter.most:
        raise HTTPException(400, f"{parameter.name} is {parameter.most} at most")
    return number


def flag_of(request: Request, parameter: Parameter) -> bool:
    """Return the value of a query parameter that is `true` or `false`.

    :raises HTTPException: it is something else.
    """
    text = text_of(request, parameter) or "false"
    if text.lower() not in {"true", "false", "1", "0"}:
        raise HTTPException(400, f"{parameter.name} is true or false")
    return text.lower() in {"true", "1"}
