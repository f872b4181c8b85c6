"""The admin API: commands of a page's extension."""

from __future__ import annotations

from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response

from quictunnel.admin.answers import Accepted
from quictunnel.admin.extension import PageExtension
from quictunnel.admin.operations import COMMAND_FAILURES, Operation, check_command, json_response
from quictunnel.admin.paths import API


def action_operations(extension: PageExtension) -> list[Operation]:
    """Return the operation of each command of an extension."""
    return [_action(name, run) for name, run in extension.actions.items()]


def _action(name: str, run: Callable[[], None]) -> Operation:
    async def act(request: Request) -> Response:
        await check_command(request)
        run()
        return json_response(Accepted(), 202)

    return Operation(
        "POST",
        f"{API}/actions/{name}",
        f"Run the action {name} of this program.",
        act,
        Accepted,
        status=202,
        failures=COMMAND_FAILURES,
    )
