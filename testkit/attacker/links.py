"""Links whose QUIC handshake the attacker completes, as an origin would."""

from __future__ import annotations

from aioquic import tls
from aioquic.quic.connection import END_STATES, QuicConnection

from testkit.attacker.initials import configuration
from testkit.attacker.packets import UdpAddress
from testkit.crafted_packets import PacketCrafter

HANDSHAKE_WITHIN = 1.5
"""Seconds after which the attacker gives a handshake up."""

ANSWER_WITHIN = 3.0
"""Seconds without a packet after which the attacker gives a link up that it floods."""


class AttackLink:
    """A connection of aioquic without a socket. Frames that aioquic would not send go past it.

    :param source: the attacker's address and port.
    :param target: the remote's.
    """

    def __init__(self, source: UdpAddress, target: UdpAddress, now: float) -> None:
        self.source = source
        self.started_at = self.heard_at = now
        self.floods = False
        """Whether packets are sent that ask for answers."""
        self.sent = 0
        """How often the attack has acted on it."""
        self._peer = (".".join(map(str, target.address)), target.port)
        self._has_written = False
        self._connection = QuicConnection(configuration=configuration())
        self._connection.connect(self._peer, now)
        self._crafter = PacketCrafter(self._connection)

    @property
    def is_ready(self) -> bool:
        """Whether the handshake is complete, so that frames can be sent."""
        return self._connection._handshake_confirmed and not self.is_closed  # noqa: SLF001

    @property
    def is_closed(self) -> bool:
        """Whether either end has closed it."""
        return self._connection._state in END_STATES  # noqa: SLF001

    @property
    def largest_received(self) -> int:
        """The largest packet number of the remote's 1-RTT packets."""
        return self._connection._spaces[tls.Epoch.ONE_RTT].largest_received_packet  # noqa: SLF001

    def is_given_up(self, now: float) -> bool:
        """Return whether the remote does not answer any more."""
        if not self.is_ready:
            return now - self.started_at > HANDSHAKE_WITHIN
        return self.floods and now - self.heard_at > ANSWER_WITHIN

    def receive(self, data: bytes, now: float) -> None:
        """Take a datagram."""
        self.heard_at = now
        self._connection.receive_datagram(data, self._peer, now)
        while self._connection.next_event() is not None:
            pass

    def has_news(self, now: float) -> bool:
        """Return whether QUIC may want to send something."""
        timer = self._connection.get_timer()
        return self._has_written or (timer is not None and timer <= now)

    def outgoing(self, now: float) -> list[bytes]:
        """Return the datagrams that QUIC wants to send now."""
        self._has_written = False
        timer = self._connection.get_timer()
        if timer is not None and timer <= now:
            self._connection.handle_timer(now)
        return [data for data, _ in self._connection.datagrams_to_send(now)]

    def write(self, data: bytes) -> None:
        """Send bytes on the control stream."""
        self._connection.send_stream_data(0, data)
        self._has_written = True

    def open_stream(self) -> None:
        """Let aioquic know the control stream, or it closes the link when the remote answers."""
        self._connection.send_stream_data(0, b"")

    def close(self) -> None:
        """Close it."""
        self._connection.close()

    def packet(self, payload: bytes) -> bytes:
        """Return a datagram with these frames. QUIC does not repeat it if it is lost."""
        return self._crafter.packet(payload)
