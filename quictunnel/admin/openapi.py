"""The OpenAPI document of the admin API, made from its operations and their types."""

from __future__ import annotations

import ast
import asyncio
import inspect
import itertools
import re
import textwrap
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from quictunnel import __version__
from quictunnel.admin.answers import FailureAnswer
from quictunnel.admin.operations import JSON, Operation, Parameter, json_response
from quictunnel.admin.paths import API

OPENAPI_PATH = f"{API}/openapi.json"
"""Where the document is."""

VERSION = "3.1.0"
"""The version of the OpenAPI Specification."""

_SCHEMAS = "#/components/schemas/{name}"


def document(operations: Sequence[Operation]) -> dict[str, Any]:
    """Return the document as JSON can have it."""
    types = dict.fromkeys(each.answer for each in operations if each.answer is not None)
    _, schemas = msgspec.json.schema_components([*types, FailureAnswer], ref_template=_SCHEMAS)
    described = {kind.__name__: kind for kind in _with_bases([*types, FailureAnswer])}
    for name, schema in schemas.items():
        _describe(schema, described.get(name))
    paths: dict[str, dict[str, Any]] = {}
    for each in operations:
        paths.setdefault(each.path, {})[each.method.lower()] = _operation(each)
    return {
        "openapi": VERSION,
        "info": {
            "title": "quictunnel admin API",
            "version": __version__,
            "description": "The state of a running role, and commands for it.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        # The Unix socket and a loopback address need no token.
        "security": [{}, {"token": []}],
    }


def openapi_operation(operations: Sequence[Operation]) -> Operation:
    """Return the operation that returns the document of these operations, and its own."""
    made: dict[str, Any] = {}

    async def answer(_request: Request) -> Response:
        if not made:
            # It reads source files, which takes some time. In a thread, it delays no client.
            made.update(await asyncio.to_thread(document, [*operations, own]))
        return json_response(made)

    own = Operation("GET", OPENAPI_PATH, "Return this document.", answer, dict[str, Any])
    return own


def _operation(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "summary": operation.text,
        "operationId": _id(operation),
        "responses": {
            str(operation.status): {
                "description": HTTPStatus(operation.status).phrase,
                "content": {operation.media_type: _content(operation.answer)},
            }
        },
    }
    media_type = operation.media_type if operation.failure is None else JSON
    failure = {media_type: _content(operation.failure)}
    for status, text in sorted(operation.failures.items()):
        described["responses"][str(status)] = {"description": text, "content": failure}
    if operation.parameters:
        described["parameters"] = list(map(_parameter, operation.parameters))
    if operation.method == "POST":
        described["requestBody"] = {"content": {JSON: {"schema": {"type": "object"}}}}
    return described


def _content(kind: Any) -> dict[str, Any]:  # noqa: ANN401 - the type of an answer, or None
    if kind is None:
        return {}
    return {"schema": msgspec.json.schema_components([kind], ref_template=_SCHEMAS)[0][0]}


def _parameter(parameter: Parameter) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": parameter.kind}
    if parameter.kind == "integer":
        schema["minimum"] = 0
    if parameter.most is not None:
        schema["maximum"] = parameter.most
    if parameter.choices:
        schema["enum"] = list(parameter.choices)
    if parameter.default is not None:
        schema["default"] = parameter.default
    return {
        "name": parameter.name,
        "in": parameter.place,
        "required": parameter.place == "path",
        "description": parameter.text,
        "schema": schema,
    }


def _id(operation: Operation) -> str:
    words = operation.path.removeprefix(API).strip("/").replace("{", "").replace("}", "")
    return f"{operation.method.lower()}-{words.replace('/', '-').replace('.', '-')}"


def _with_bases(types: Sequence[Any]) -> list[Any]:
    """Return the types and all types that their members have."""
    found: dict[Any, None] = {}
    waiting = list(types)
    while waiting:
        kind = waiting.pop()
        if kind in found:
            continue
        found[kind] = None
        if isinstance(kind, type) and kind.__module__.startswith("quictunnel."):
            waiting += inspect.get_annotations(kind, eval_str=True).values()
        waiting += getattr(kind, "__args__", ())
    return [kind for kind in found if isinstance(kind, type)]


def _describe(schema: dict[str, Any], kind: type | None) -> None:
    """Add the descriptions of members, which are strings after the fields in the source.

    They call a missing value None, which is null in JSON.
    """
    if kind is None:
        return
    texts: dict[str, str] = {}
    for each in reversed(kind.__mro__):
        if each.__module__.startswith("quictunnel."):
            texts |= _field_texts(each)
    renamed = _renamed(kind) if issubclass(kind, msgspec.Struct) else {}
    for name, member in schema.get("properties", {}).items():
        text = texts.get(renamed.get(name, name))
        if text is not None:
            # A schema with a reference may have a description beside it, since OpenAPI 3.1.
            member["description"] = re.sub(r"\bNone\b", "null", text)


def _renamed(kind: type[msgspec.Struct]) -> dict[str, str]:
    """Return the fields of a type by the names of their members."""
    return dict(zip(kind.__struct_encode_fields__, kind.__struct_fields__, strict=True))


def _field_texts(kind: type) -> dict[str, str]:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(kind)))
    except (OSError, SyntaxError):
        return {}  # the program is installed without its source
    body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
    texts: dict[str, str] = {}
    for field, text in itertools.pairwise(body):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(text, ast.Expr)
            and isinstance(text.value, ast.Constant)
        ):
            texts[field.target.id] = " ".join(str(text.value.value).split())
    return texts
