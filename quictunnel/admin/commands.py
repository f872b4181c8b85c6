"""The admin API: commands for a role."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from quictunnel.admin.answers import Accepted, Reloaded
from quictunnel.admin.managed import ManagedRole
from quictunnel.admin.operations import (
    COMMAND_FAILURES,
    Operation,
    Parameter,
    check_command,
    error_response,
    json_response,
)
from quictunnel.admin.paths import API
from quictunnel.errors import SettingsError

CLIENT = Parameter("id", "The client's id.", place="path")


def command_operations(managed: ManagedRole) -> list[Operation]:
    """Return the operations that close a client, reload the configuration and drain the role."""

    async def close_client(request: Request) -> Response:
        await check_command(request)
        client = request.path_params["id"]
        if not managed.role.close_client(client):
            return error_response("there is no such client; it may have left", 404)
        return json_response(Accepted(), 202)

    async def reload(request: Request) -> Response:
        await check_command(request)
        try:
            pending = managed.control.reload()
        except SettingsError as exc:
            return error_response(str(exc), 409)
        return json_response(Reloaded(pending), 202)

    async def drain(request: Request) -> Response:
        await check_command(request)
        managed.control.drain()
        return json_response(Accepted(), 202)

    return [
        Operation(
            "POST",
            f"{API}/clients/{{id}}/close",
            "Reset a client's connection at both ends.",
            close_client,
            Accepted,
            status=202,
            parameters=(CLIENT,),
            failures={**COMMAND_FAILURES, 404: "There is no such client."},
        ),
        Operation(
            "POST",
            f"{API}/reload",
            "Read the configuration file again, as SIGHUP does.",
            reload,
            Reloaded,
            status=202,
            failures={
                **COMMAND_FAILURES,
                409: "There is no file, or it is invalid. Nothing has changed.",
            },
        ),
        Operation(
            "POST",
            f"{API}/drain",
            "Accept no new clients, let current ones finish, then end, as SIGTERM does.",
            drain,
            Accepted,
            status=202,
            failures=COMMAND_FAILURES,
        ),
    ]
