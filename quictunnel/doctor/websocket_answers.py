"""Check: the remote's WebSocket opens, through a proxy if need be, and carries QUIC packets."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Sequence

from quictunnel.config.proxies import Proxy
from quictunnel.doctor.check import Check
from quictunnel.doctor.finding import Finding, failed, ok, warning
from quictunnel.errors import LinkFailed
from quictunnel.origin.diagnosis import explain_websocket
from quictunnel.origin.remote_websocket import RemoteWebSocket
from quictunnel.quic.path.datagram_path import DatagramPath
from quictunnel.quic.path.version_probe import (
    ID_SIZE,
    MIN_PROBE_SIZE,
    VERSION_1,
    decode_answer,
    encode,
)
from quictunnel.quic.path.websocket_opener import TIMEOUT

PATIENCE = 3.0
"""Seconds for the answer to a probe inside the WebSocket."""

INTERVAL = 0.5
"""Seconds between two probes."""


class WebSocketAnswers(Check):
    """Opens the WebSocket, and sends version probes as UDP gets them. It needs no token.

    :param websocket: the WebSocket.
    :param proxy: through which it is opened; None for a direct connection.
    :param unverified: why its certificate does not verify. The opener adds to it.
    """

    title = "WebSocket to the remote"
    time_limit = TIMEOUT + PATIENCE + 2.0

    def __init__(
        self, websocket: RemoteWebSocket, proxy: Proxy | None, unverified: Sequence[str] = ()
    ) -> None:
        self.websocket = websocket
        self.has_answered = False
        """Whether a QUIC server has answered inside the WebSocket."""
        self._place = str(websocket.url) if proxy is None else f"{websocket.url} through {proxy}"
        self._unverified = unverified

    async def run(self) -> list[Finding]:
        """Open the WebSocket, and wait for the answer to a probe."""
        loop = asyncio.get_running_loop()
        start = loop.time()
        try:
            path = await self.websocket.opener.open()
        except LinkFailed as exc:
            sentence = explain_websocket(self.websocket.url, exc, self.websocket.proxy)
            return [failed(self.title, sentence, _ADVICE)]
        opened = loop.time() - start
        try:
            exchange = ProbeExchange(path)
            versions, seconds = await exchange.probe()
        finally:
            path.close()
        if versions is None:
            reason = f": {exchange.reason}" if exchange.reason else ""
            sentence = f"{self._place} opens, but no QUIC server answers in it{reason}"
            return [failed(self.title, sentence, _ADVICE)]
        if VERSION_1 not in versions:
            sentence = f"{self._place} leads to a QUIC server without version 1 of QUIC"
            return [failed(self.title, sentence, _ADVICE)]
        self.has_answered = True
        times = f"{opened * 1000:.0f} ms, and carries QUIC packets in {seconds * 1000:.0f} ms"
        return [ok(self.title, f"{self._place} opens in {times}"), *self._certificate()]

    def _certificate(self) -> list[Finding]:
        advice = (
            "both ends prove themselves inside the WebSocket. --insecure-websocket accepts the "
            "certificate without a warning, --websocket-ca FILE accepts no other one"
        )
        return [warning(self.title, reason, advice) for reason in self._unverified]


_ADVICE = (
    "check --websocket at both ends, and --proxy here: the remote serves the WebSocket with its "
    "option --websocket, or a web server in front of it does"
)


class ProbeExchange:
    """Sends probes over a path, and waits for the first answer. It is a `PathHandler`."""

    def __init__(self, path: DatagramPath) -> None:
        self.reason = ""
        """Why the path has closed; empty if it has not."""
        self._path = path
        self._identification = secrets.token_bytes(ID_SIZE)
        self._done = asyncio.Event()
        self._versions: list[int] | None = None
        path.handler = self

    async def probe(self) -> tuple[list[int] | None, float]:
        """Return the versions of QUIC that the peer speaks, or None, and the seconds until then."""
        loop = asyncio.get_running_loop()
        start = loop.time()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                while not self._done.is_set():
                    self._path.send([encode(self._identification, MIN_PROBE_SIZE)])
                    with contextlib.suppress(TimeoutError):
                        await asyncio.wait_for(self._done.wait(), INTERVAL)
        return self._versions, loop.time() - start

    def datagrams_received(self, datagrams: Sequence[bytes]) -> None:
        """Look for the answer to the probe."""
        for data in datagrams:
            answer = decode_answer(data)
            if answer is not None and answer[0] == self._identification:
                self._versions = answer[1]
                self._done.set()

    def path_closed(self, reason: str) -> None:
        """Stop waiting."""
        self.reason = reason
        self._done.set()
