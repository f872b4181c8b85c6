"""All routes of the admin interface."""

from __future__ import annotations

from starlette.routing import BaseRoute

from quictunnel.admin.api import StateApi
from quictunnel.admin.caddy import ask_operation
from quictunnel.admin.commands import command_operations
from quictunnel.admin.event_stream import EventStreams
from quictunnel.admin.extension_actions import action_operations
from quictunnel.admin.health import health_operations
from quictunnel.admin.managed import ManagedRole
from quictunnel.admin.metrics_operation import metrics_operation
from quictunnel.admin.openapi import openapi_operation
from quictunnel.admin.operations import Operation
from quictunnel.admin.page import page_routes
from quictunnel.admin.qr_code import qr_operation


def make_operations(managed: ManagedRole, streams: EventStreams) -> list[Operation]:
    """Return the operations that the OpenAPI document describes."""
    operations = [
        *StateApi(managed).operations(),
        streams.operation(),
        *command_operations(managed),
        *health_operations(managed.role),
        metrics_operation(managed.role, managed.tallies, managed.loop_delay),
        qr_operation(managed.role),
    ]
    if managed.extension is not None:
        operations += action_operations(managed.extension)
    if managed.has_site is not None:
        operations.append(ask_operation(managed.has_site))
    return [*operations, openapi_operation(operations)]


def make_routes(managed: ManagedRole, streams: EventStreams) -> list[BaseRoute]:
    """Return the routes of a role, which hold for its Unix socket and its TCP address."""
    operations = make_operations(managed, streams)
    return [*(each.route() for each in operations), *page_routes(managed.extension)]
