"""Check: the addresses that a remote listens on are free, or a remote has them already."""

from __future__ import annotations

import asyncio
import errno
import os

from quictunnel.config.addresses import HostPort
from quictunnel.config.listen_errors import listen_error
from quictunnel.doctor.check import Check
from quictunnel.doctor.finding import Finding, failed, ok
from quictunnel.doctor.port_holders import holder_of
from quictunnel.errors import SettingsError
from quictunnel.events import discard_event
from quictunnel.quic.path.udp import open_bound
from quictunnel.remote.acceptor import relayed
from quictunnel.remote.outside_listener import OutsideListener, resolve_listen

_FREE_PORT = "choose another port, or end the other program"


class ListenAddress(Check):
    """Listens on an address for a moment, as the remote does.

    :param protocol: `tcp` or `udp`.
    :param option: the option that sets the address.
    """

    time_limit = 10.0

    def __init__(self, protocol: str, listen: HostPort, option: str) -> None:
        self.title = f"{protocol.upper()} port {listen.port} ({option})"
        self._protocol = protocol
        self._listen = listen
        self._option = option

    async def run(self) -> list[Finding]:
        """Bind the address, and find out which program has it if that fails."""
        try:
            await (self._bind_udp() if self._protocol == "udp" else self._bind_tcp())
        except SettingsError as exc:
            return [self._explain(exc)]
        return [ok(self.title, f"{self._listen} is free")]

    async def _bind_udp(self) -> None:
        host = await resolve_listen("udp", self._listen)
        try:
            open_bound(host, self._listen.port).close()
        except OSError as exc:
            raise listen_error("udp", self._listen, exc, self._option) from exc

    async def _bind_tcp(self) -> None:
        listener = OutsideListener(
            self._listen, relayed(asyncio.Protocol), emit=discard_event, option=self._option
        )
        try:
            await listener.bind()
        finally:
            listener.close()

    def _explain(self, exc: SettingsError) -> Finding:
        sentence, cause = str(exc), exc.__cause__
        if not isinstance(cause, OSError) or cause.errno != errno.EADDRINUSE:
            return failed(self.title, sentence, f"correct {self._option}, or run it as root")
        holder = holder_of(self._protocol, self._listen.port)
        if holder is None:
            advice = _FREE_PORT
            if os.geteuid() != 0:
                advice += "; run the doctor as root to see which program it is"
            return failed(self.title, sentence, advice)
        if holder.is_remote:
            return ok(self.title, f"a remote runs already: {holder}")
        return failed(self.title, f"{sentence}; it is {holder}", _FREE_PORT)
