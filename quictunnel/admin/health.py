"""Whether the role works, for service managers, containers and monitoring."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from quictunnel.admin.answers import LiveAnswer, ReadyAnswer
from quictunnel.admin.operations import Operation, json_response
from quictunnel.admin.paths import LIVE_PATH, READY_PATH
from quictunnel.snapshots import ObservedRole


def health_operations(role: ObservedRole) -> list[Operation]:
    """Return the operations `LIVE_PATH` and `READY_PATH`, which need no token."""

    async def live(_request: Request) -> Response:
        return json_response(LiveAnswer(live=True))

    async def ready(request: Request) -> Response:
        state = role.describe()
        # The reason may have addresses.
        is_trusted = getattr(request.state, "is_trusted", True)
        answer = ReadyAnswer(state.is_ready, state.reason if is_trusted else None)
        return json_response(answer, 200 if state.is_ready else 503)

    return [
        Operation(
            "GET",
            LIVE_PATH,
            "Tell whether the process works. It needs no token.",
            live,
            LiveAnswer,
        ),
        Operation(
            "GET",
            READY_PATH,
            "Tell whether a new client would be served now. It needs no token, but without one the "
            "reason is left out.",
            ready,
            ReadyAnswer,
            failures={503: "A new client would not be served now. The body has the reason."},
            failure=ReadyAnswer,
        ),
    ]
