"""Check: the paths to the remote. One of them is enough for a tunnel."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from quictunnel.doctor.check import BLOCKING, Check
from quictunnel.doctor.finding import Finding, Level, skipped
from quictunnel.doctor.names import RemoteName
from quictunnel.doctor.udp_answers import UdpAnswers
from quictunnel.doctor.websocket_answers import WebSocketAnswers

_WITHOUT_WEBSOCKET = (
    "remotes need no WebSocket. For networks that block UDP, let the remote serve one with its "
    "option --websocket"
)


class RemotePaths(Check):
    """Tries UDP and the WebSocket at the same time.

    A path that does not work is a failure, or a warning if the other one works. It is neither if it
    is a WebSocket that the user has not configured, because few remotes serve one.

    :param udp: tries UDP, once the name is known; None if only the WebSocket may be used.
    :param websocket: tries the WebSocket.
    :param is_expected: whether the user has configured the WebSocket.
    """

    title = "paths to the remote"
    time_limit = (
        max(RemoteName.time_limit + UdpAnswers.time_limit, WebSocketAnswers.time_limit) + 2.0
    )

    def __init__(
        self,
        udp: tuple[RemoteName, UdpAnswers] | None,
        websocket: WebSocketAnswers,
        *,
        is_expected: bool,
    ) -> None:
        self._udp = udp
        self._websocket = websocket
        self._is_expected = is_expected

    async def run(self) -> list[Finding]:
        """Run the checks of both paths, and judge their findings together."""
        async with asyncio.TaskGroup() as group:
            udp = group.create_task(self._try_udp(), name="check UDP")
            websocket = group.create_task(self._websocket.run(), name="check WebSocket")
        return [*self._judge_udp(udp.result()), *self._judge_websocket(websocket.result())]

    def blocking(self, findings: Sequence[Finding]) -> Finding | None:
        """Return the first failure, unless one of the paths works."""
        return None if self._has_path else super().blocking(findings)

    @property
    def _has_udp(self) -> bool:
        return self._udp is not None and bool(self._udp[1].address)

    @property
    def _has_path(self) -> bool:
        return self._has_udp or self._websocket.has_answered

    async def _try_udp(self) -> list[Finding]:
        if self._udp is None:
            return []
        name, answers = self._udp
        findings = await name.run()
        if not any(finding.level in BLOCKING for finding in findings):
            findings += await answers.run()
        return findings

    def _judge_udp(self, findings: Sequence[Finding]) -> list[Finding]:
        if not self._has_path:
            return [*findings]
        return [
            replace(finding, level=Level.WARNING) if finding.level is Level.FAILED else finding
            for finding in findings
        ]

    def _judge_websocket(self, findings: Sequence[Finding]) -> list[Finding]:
        if self._udp is None:
            return [*findings]
        if self._websocket.has_answered or self._is_expected:
            return self._judge_udp(findings)
        return [skipped(each.title, each.sentence, _WITHOUT_WEBSOCKET) for each in findings]
