"""Health checks: live while the process answers, ready while a new client would be served."""

from __future__ import annotations

from dataclasses import replace

from observed_role import ScriptedRole

from quictunnel.admin.health import health_operations
from testkit.snapshots import STATE


async def test_a_role_is_ready_or_says_why_not(serve):
    role = ScriptedRole()
    peer = await serve(*(operation.route() for operation in health_operations(role)))
    answer = await peer.request("/readyz")
    assert (answer.status, answer.json) == (200, {"ready": True, "reason": None})
    role.state = replace(STATE, is_ready=False, reason="the link does not answer")
    answer = await peer.request("/readyz")
    assert answer.status == 503
    assert answer.json == {"ready": False, "reason": "the link does not answer"}
    answer = await peer.request("/livez")
    assert (answer.status, answer.json) == (200, {"live": True})
