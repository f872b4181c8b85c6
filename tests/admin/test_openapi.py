"""The OpenAPI document: every route is in it, and answers have the members that it describes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from observed_role import STATE, managed_role

from quictunnel.admin.event_stream import EventStreams
from quictunnel.admin.openapi import document
from quictunnel.admin.routes import make_operations, make_routes


def operations_of(name: str):
    managed = managed_role(name, has_site=(lambda _: False) if name == "remote" else None)
    return make_operations(managed, EventStreams(managed.history)), managed


@pytest.mark.parametrize("name", ["remote", "origin"])
def test_every_operation_is_described(name):
    operations, _ = operations_of(name)
    made = document(operations)
    assert made["openapi"] == "3.1.0"
    found = {
        (method.upper(), path) for path, methods in made["paths"].items() for method in methods
    }
    assert found == {(each.method, each.path) for each in operations}
    ids = [each["operationId"] for methods in made["paths"].values() for each in methods.values()]
    assert len(set(ids)) == len(ids)


def test_every_member_has_a_description():
    for name in ("remote", "origin"):
        schemas = document(operations_of(name)[0])["components"]["schemas"]
        for kind, schema in schemas.items():
            for member, description in schema.get("properties", {}).items():
                assert description.get("description"), f"{kind}.{member}"
                assert "None" not in description["description"]


def test_references_lead_to_schemas():
    made = document(operations_of("remote")[0])
    schemas = made["components"]["schemas"]

    def check(value) -> None:
        if isinstance(value, dict):
            if "$ref" in value:
                assert value["$ref"].removeprefix("#/components/schemas/") in schemas
            list(map(check, value.values()))
        elif isinstance(value, list):
            list(map(check, value))

    check(made)


@pytest.mark.parametrize("name", ["remote", "origin"])
async def test_answers_have_the_members_that_the_document_requires(serve, name):
    operations, managed = operations_of(name)
    managed.links.sample()
    peer = await serve(*make_routes(managed, EventStreams(managed.history)))
    made = (await peer.request("/api/v1/openapi.json")).json
    assert made == document(operations)
    for each in operations:
        if each.method == "GET" and each.media_type == "application/json" and "{" not in each.path:
            answer = await peer.request(each.path)
            assert answer.status == each.status
            content = made["paths"][each.path]["get"]["responses"]["200"]["content"]
            _matches(answer.json, content["application/json"]["schema"], made)


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/readyz", 503),
        ("/caddy/ask", 400),
        ("/caddy/ask?domain=www.example.com", 404),
        ("/api/v1/clients?limit=many", 400),
    ],
)
async def test_failures_have_the_bodies_that_the_document_describes(serve, path, status):
    operations, managed = operations_of("remote")
    managed.role.state = replace(STATE, is_ready=False, reason="it is stopping")
    peer = await serve(*(operation.route() for operation in operations))
    answer = await peer.request(path)
    assert answer.status == status
    made = document(operations)
    described = made["paths"][path.partition("?")[0]]["get"]["responses"][str(status)]
    ((media_type, content),) = described["content"].items()
    assert answer.headers["content-type"].partition(";")[0] == media_type
    if media_type == "application/json":
        _matches(answer.json, content["schema"], made)


def _matches(value, schema, made) -> None:
    """Check the members of a value against a schema, as far as they are objects and lists."""
    if "$ref" in schema:
        schema = made["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    if schema.get("type") == "object" and "properties" in schema:
        assert set(value) == set(schema["properties"])
        for name, member in value.items():
            _matches(member, schema["properties"][name], made)
    elif schema.get("type") == "array":
        for each in value:
            _matches(each, schema.get("items", {}), made)
