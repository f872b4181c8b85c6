"""Probes whether a link's peer answers over UDP, while something else carries the link.

A probe is a QUIC packet of a version that does not exist, as large as the first packet of a
handshake. Every remote answers it and keeps no state (RFC 9000, 6). Until one is answered, each is
sent from a socket of its own, and to the peer's addresses in turn.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

from quictunnel.events import UdpProbeKind
from quictunnel.protocol.address import Address
from quictunnel.quic.path.probe_record import ANSWERED_INTERVAL, ProbeRecord
from quictunnel.quic.path.udp_probe_socket import ProbeChannel, UdpProbeSocket
from quictunnel.quic.path.version_probe import ID_SIZE, MIN_PROBE_SIZE, decode_answer, encode

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from quictunnel.quic.path.candidates import Candidate, Candidates
    from quictunnel.quic.path.udp_probe_socket import ProbeChannelFactory

PROBE_TIMEOUT = 2.0
"""Seconds after which a probe is missed. Round trips beside a full queue may take so long."""

LOOKUP_INTERVAL = 30.0
"""Seconds between lookups of the peer's name, while nothing is wrong with the link."""

NO_ROUTE = "no route to the remote"
"""The result of a probe that could not be sent to any address."""

NO_ADDRESS = "the remote's address is not known yet"
"""The result of a probe before the first lookup of the name has succeeded."""


class UdpProber:
    """Sends the probes of one link.

    :param candidates: the peer's addresses. The one that has answered last is made the current one.
    :param on_answer: called after each answer.
    :param on_result: takes the result of each probe, and the same in a phrase.
    :param open_channel: creates a channel for probes.
    """

    def __init__(
        self,
        candidates: Candidates,
        port: int,
        loop: asyncio.AbstractEventLoop,
        *,
        on_answer: Callable[[], None],
        on_result: Callable[[UdpProbeKind, str], None],
        open_channel: ProbeChannelFactory = UdpProbeSocket,
    ) -> None:
        self.record = ProbeRecord(loop.time())
        """The results so far."""
        self._candidates = candidates
        self._port = port
        self._loop = loop
        self._on_answer = on_answer
        self._on_result = on_result
        self._open_channel = open_channel
        self._is_urgent = False
        self._is_running = False
        self._probed_at = 0.0
        self._looked_up_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._senders: set[_Sender] = set()
        self._steady: _Sender | None = None  # whose probes are answered

    def start(self) -> None:
        """Probe at once, and then as often as in the first phase, until `stop`."""
        self.stop()
        self._is_running = True
        self.record.restart(self._loop.time())
        self._probe(next_host=False)

    def stop(self) -> None:
        """Send no more probes, and close the sockets."""
        self._is_running = self._is_urgent = False
        self._steady = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for sender in tuple(self._senders):
            sender.close()
        self._senders.clear()

    def hurry(self) -> None:
        """Probe often: nothing carries the link."""
        if self._is_running and not self._is_urgent:
            self._is_urgent = True
            self._schedule(self._probed_at + ANSWERED_INTERVAL)

    def relax(self) -> None:
        """Probe as usual again."""
        self._is_urgent = False

    def _schedule(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(at, self._probe)

    def _probe(self, *, next_host: bool = True) -> None:
        now = self._probed_at = self._loop.time()
        if self._is_urgent or now >= self._looked_up_at + LOOKUP_INTERVAL or not next_host:
            self._looked_up_at = now
            self._candidates.refresh()
        sender = self._steady or self._open_sender(next_host=next_host)
        if sender is not None:
            sender.send()
        self._schedule(
            now + (ANSWERED_INTERVAL if self._is_urgent else self.record.next_interval(now))
        )

    def _open_sender(self, *, next_host: bool) -> _Sender | None:
        candidate = self._candidates.open(next_host=next_host)
        if candidate is None:
            reason = NO_ROUTE if self._candidates.has_hosts else NO_ADDRESS
            self._on_result(UdpProbeKind.NOT_SENT, reason)
            return None
        self._candidates.host = candidate.host
        sender = _Sender(self, candidate, self._port, self._loop, self._open_channel)
        self._senders.add(sender)
        return sender

    # Called by the senders

    def probe_answered(self, sender: _Sender, seconds: float) -> None:
        """Record an answer, and probe this address often."""
        was_steady = self.record.steady_since is not None
        self.record.answered(self._loop.time())
        self._candidates.host = sender.host
        if self._steady is None:
            self._steady = sender
        phrase = f"{sender.address} answered after {seconds * 1000:.0f} ms"
        self._on_result(UdpProbeKind.ANSWERED, phrase)
        if not was_steady:
            self._schedule(self._probed_at + ANSWERED_INTERVAL)
        self._release(sender)
        self._on_answer()

    def probe_missed(self, sender: _Sender) -> None:
        """Record that an answer is missing."""
        self.record.missed()
        if self.record.steady_since is None:
            self._on_result(UdpProbeKind.UNANSWERED, f"{sender.address} does not answer")
            previous, self._steady = self._steady, None
            if previous is not None:
                self._release(previous)
        self._release(sender)

    def _release(self, sender: _Sender) -> None:
        """Close a sender that is of no more use."""
        if sender is not self._steady and not sender.is_waiting:
            sender.close()
            self._senders.discard(sender)


class _Sender:
    """The probes of one socket."""

    def __init__(
        self,
        prober: UdpProber,
        candidate: Candidate,
        port: int,
        loop: asyncio.AbstractEventLoop,
        open_channel: ProbeChannelFactory,
    ) -> None:
        self.host = candidate.host
        self.address = Address.of((candidate.host, port))
        self._prober = prober
        self._loop = loop
        self._waiting: dict[bytes, tuple[float, asyncio.TimerHandle]] = {}
        self._channel: ProbeChannel = open_channel(candidate.sock, loop, self._received)

    @property
    def is_waiting(self) -> bool:
        """Whether answers may still come."""
        return bool(self._waiting)

    def send(self) -> None:
        """Send a probe."""
        identification = secrets.token_bytes(ID_SIZE)
        timer = self._loop.call_later(PROBE_TIMEOUT, self._miss, identification)
        self._waiting[identification] = self._loop.time(), timer
        self._channel.send(encode(identification, MIN_PROBE_SIZE))

    def close(self) -> None:
        for _, timer in self._waiting.values():
            timer.cancel()
        self._waiting.clear()
        self._channel.close()

    def _received(self, data: bytes) -> None:
        """Take the answer to a probe. Other packets, and those that quote no probe, are ignored."""
        answer = decode_answer(data)
        waiting = None if answer is None else self._waiting.pop(answer[0], None)
        if waiting is not None:
            sent_at, timer = waiting
            timer.cancel()
            self._prober.probe_answered(self, self._loop.time() - sent_at)

    def _miss(self, identification: bytes) -> None:
        del self._waiting[identification]
        self._prober.probe_missed(self)
