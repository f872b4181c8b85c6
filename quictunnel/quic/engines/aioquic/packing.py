"""Packs the packets of an open connection: 1-RTT, with a short header, each a datagram of its own.

aioquic's builder does so for every kind of packet, and most of what it does for each is for the
others: long headers, several packets in a datagram, padding, limits before an address is validated.
Here is what is left, with the same bytes as result. When it may be used is for `flights`, what
packets hold for `sending`.
"""

from __future__ import annotations

import functools
from struct import Struct
from typing import TYPE_CHECKING, Any

from aioquic import tls
from aioquic._buffer import Buffer
from aioquic.quic.packet import (
    NON_ACK_ELICITING_FRAME_TYPES,
    NON_IN_FLIGHT_FRAME_TYPES,
    QuicFrameType,
    QuicPacketType,
)
from aioquic.quic.packet_builder import (
    QuicPacketBuilder,
    QuicPacketBuilderStop,
    QuicSentPacket,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aioquic.quic.crypto import CryptoPair
    from aioquic.quic.packet_builder import QuicDeliveryHandler

FIXED_BIT = 0x40  # RFC 9000, 17.3.1, as what follows
SPIN_BIT = 0x20
KEY_PHASE_BIT = 0x04
NUMBER_SIZE = 2
"""Bytes of a packet number: what aioquic sends."""

PROTECTED_BITS = 0x1F
"""What header protection covers of the first byte of a short header (RFC 9001, 5.4.1)."""

TAG_SIZE = 16
"""Bytes that each of QUIC's ciphers adds to what it encrypts (RFC 9001, 5.3)."""

PAYLOAD_MIN = 4 - NUMBER_SIZE
"""Bytes of frames that a packet has at least: the sample for header protection begins four bytes
after the packet number does (RFC 9001, 5.4.2)."""

SAMPLE = slice(PAYLOAD_MIN, PAYLOAD_MIN + 16)
"""Where it is in what follows the header."""


class ShortPackets(QuicPacketBuilder):
    """Packets of one flight, to an address that is validated.

    :param max_flight_bytes: what the congestion window has room for.
    """

    def __init__(
        self,
        *,
        crypto: CryptoPair,
        max_datagram_size: int,
        max_flight_bytes: int,
        packet_number: int,
        peer_cid: bytes,
        spin_bit: bool,
    ) -> None:
        # All that is used of aioquic's is set here; half of what it sets is for other packets.
        self.quic_logger_frames = None
        self._buffer = Buffer(max_datagram_size)
        self._buffer_capacity = max_datagram_size
        self._datagrams = []
        self._flight_capacity = max_datagram_size
        self._header_size = 1 + len(peer_cid) + NUMBER_SIZE
        self._packet = None
        self._packet_crypto = crypto
        self._packet_number = packet_number
        self._packet_start = 0
        self._packets = []
        self._peer_cid = peer_cid
        assert crypto.send.aead is not None  # the connection is open
        assert crypto.send.hp is not None
        self._aead = crypto.send.aead
        self._hp = crypto.send.hp
        self._first_byte = (
            FIXED_BIT
            | (SPIN_BIT if spin_bit else 0)
            | (KEY_PHASE_BIT if crypto.key_phase else 0)
            | (NUMBER_SIZE - 1)
        )
        self._header = _header(len(peer_cid))
        self._flight_left = max_flight_bytes

    def start_packet(self, packet_type: QuicPacketType, crypto: CryptoPair) -> None:
        """Begin a packet, and end the one before: both are the connection's own."""
        if self._packet is not None:
            self._end_packet()
        self._packet = QuicSentPacket(
            tls.Epoch.ONE_RTT,
            in_flight=False,
            is_ack_eliciting=False,
            is_crypto_packet=False,
            packet_number=self._packet_number,
            packet_type=packet_type,
        )
        self._flight_capacity = min(self._buffer_capacity, self._flight_left)
        self._buffer.seek(self._header_size)

    def start_frame(
        self,
        frame_type: int,
        capacity: int = 1,
        handler: QuicDeliveryHandler | None = None,
        handler_args: Sequence[Any] = (),
    ) -> Buffer:
        """Begin a frame that needs at least `capacity` bytes.

        :raises QuicPacketBuilderStop: the packet, or the window, has not as much room.
        """
        buf, packet = self._buffer, self._packet
        assert packet is not None  # it was started
        written = buf.tell()
        if written == self._header_size:
            capacity = max(capacity, PAYLOAD_MIN)
        in_flight = frame_type not in NON_IN_FLIGHT_FRAME_TYPES
        room = self._flight_capacity if in_flight else self._buffer_capacity
        if room - written - TAG_SIZE < capacity:
            raise QuicPacketBuilderStop
        buf.push_uint_var(frame_type)
        if in_flight:
            packet.in_flight = True
        if frame_type not in NON_ACK_ELICITING_FRAME_TYPES:
            packet.is_ack_eliciting = True
        if frame_type == QuicFrameType.CRYPTO:
            packet.is_crypto_packet = True
        if handler is not None:
            packet.delivery_handlers.append((handler, handler_args))
        return buf

    def flush(self) -> tuple[list[bytes], list[QuicSentPacket]]:
        """End the last packet, and return all: as datagrams, and what is to be known of each."""
        if self._packet is not None:
            self._end_packet()
        return self._datagrams, self._packets

    def _end_packet(self) -> None:
        """Protect a packet (RFC 9001, 5.3 and 5.4); one without frames was none."""
        buf, packet = self._buffer, self._packet
        assert packet is not None  # it was started
        self._packet = None
        missing = self._header_size + PAYLOAD_MIN - buf.tell()
        if missing > 0:
            if missing == PAYLOAD_MIN:
                return
            buf.push_bytes(bytes(missing))
            packet.in_flight = True
        number = self._packet_number
        header = self._header.pack(self._first_byte, self._peer_cid, number & 0xFFFF)
        plain = buf.data_slice(self._header_size, buf.tell())
        payload = self._aead.encrypt(plain, header, number)
        mask = self._hp._mask(payload[SAMPLE])
        header = self._header.pack(
            self._first_byte ^ mask[0] & PROTECTED_BITS,
            self._peer_cid,
            number & 0xFFFF ^ (mask[1] << 8 | mask[2]),
        )
        datagram = header + payload
        packet.sent_bytes = len(datagram)
        if packet.in_flight:
            self._flight_left -= packet.sent_bytes
        self._datagrams.append(datagram)
        self._packets.append(packet)
        self._packet_number = number + 1


@functools.cache
def _header(id_size: int) -> Struct:
    """Return the layout of a header: first byte, connection id, packet number."""
    return Struct(f">B{id_size}sH")
