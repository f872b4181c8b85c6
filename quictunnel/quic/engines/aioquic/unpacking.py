"""Unpacks what comes to an open connection: packets with a short header, and the frames of bulk.

aioquic does so for every kind of packet, and looks each time whether it might be one of a
handshake, of another path, or for another connection id. Here is what is left where it is none of
these, and nothing is amiss; everything else is handed to aioquic before anything has changed. What
becomes of data is for `receiving`, what ACKs say for `recovery`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aioquic import tls
from aioquic._buffer import Buffer, BufferReadError
from aioquic._crypto import CryptoError
from aioquic.quic.connection import (
    QuicConnectionError,
    QuicConnectionState,
    QuicReceiveContext,
)
from aioquic.quic.events import StreamDataReceived
from aioquic.quic.packet import QuicErrorCode, QuicFrameType, decode_packet_number
from aioquic.quic.recovery import MAX_ACK_RANGES
from aioquic.quic.stream import StreamFinishedError

from quictunnel.quic.engines.aioquic.packing import (
    FIXED_BIT,
    KEY_PHASE_BIT,
    PROTECTED_BITS,
    SPIN_BIT,
)
from quictunnel.quic.engines.aioquic.receiving import ReceivingConnection

if TYPE_CHECKING:
    from aioquic.quic.connection import NetworkAddress
    from aioquic.quic.recovery import QuicPacketSpace

FORM_BITS = 0xC0
"""The first two bits of a packet (RFC 9000, 17.3.1): the form of its header, and the fixed bit."""

RESERVED_BITS = 0x18
"""Of a short header; they are zero (RFC 9000, 17.3.1)."""

NUMBER_SIZE_MAX = 4
SAMPLE_SIZE = 16


class UnpackingConnection(ReceivingConnection):
    """A connection that takes packets by the shortest way, wherever it may."""

    def receive_datagram(self, data: bytes, addr: NetworkAddress, now: float) -> None:
        """Take a datagram."""
        if not self._may_be_short(data, addr):
            super().receive_datagram(data, addr, now)
            return
        space = self._short_space
        opened = self._open(data, space)
        if opened is None:
            super().receive_datagram(data, addr, now)
            return
        first, number, payload = opened
        if number > space.expected_packet_number:
            space.expected_packet_number = number + 1
        if number > self._spin_highest_pn:  # RFC 9000, 17.4
            self._spin_bit = bool(first & SPIN_BIT) != self._is_client
            self._spin_highest_pn = number
        try:
            is_eliciting = self._take_frames(payload, now)
        except QuicConnectionError as exc:
            self._logger.warning(exc)
            self.close(
                error_code=exc.error_code,
                frame_type=exc.frame_type,
                reason_phrase=exc.reason_phrase,
            )
            return
        if self._state is not QuicConnectionState.CONNECTED or self._close_pending:
            return
        self._close_at = now + self._idle_timeout()
        self._ack_eliciting_sent_since_receipt = False
        self._note_received(space, number, now, is_eliciting=is_eliciting)

    def _may_be_short(self, data: bytes, addr: NetworkAddress) -> bool:
        """Return whether it is a 1-RTT packet to an open connection, for the id that is in use."""
        paths = self._network_paths
        return (
            self._handshake_confirmed
            and len(paths) == 1
            and paths[0].addr == addr
            and paths[0].is_validated
            and self._state is QuicConnectionState.CONNECTED
            and not self._close_pending
            and len(data) >= 1 + len(self.host_cid) + NUMBER_SIZE_MAX + SAMPLE_SIZE
            and data[0] & FORM_BITS == FIXED_BIT
            and data.startswith(self.host_cid, 1)
        )

    def _open(self, data: bytes, space: QuicPacketSpace) -> tuple[int, int, bytes] | None:
        """Return the first byte of a packet, its number, and its frames (RFC 9001, 5.3 and 5.4).

        None if it does not open, has come before, or has a first byte out of the common: a key
        update begins with one.
        """
        keys = self._short_crypto.recv
        assert keys.aead is not None  # the handshake is confirmed
        assert keys.hp is not None
        start = 1 + len(self.host_cid)
        end = start + NUMBER_SIZE_MAX
        mask = keys.hp._mask(data[end : end + SAMPLE_SIZE])
        first = data[0] ^ mask[0] & PROTECTED_BITS
        if first & RESERVED_BITS or bool(first & KEY_PHASE_BIT) != keys.key_phase:
            return None
        size = (first & 0x03) + 1
        sent = data[start : start + size]
        truncated = int.from_bytes(sent, "big") ^ int.from_bytes(mask[1 : 1 + size], "big")
        number = decode_packet_number(truncated, size * 8, space.expected_packet_number)
        if number in space.received_packets:
            return None
        header = b"%c%b%b" % (first, self.host_cid, truncated.to_bytes(size, "big"))
        try:
            return first, number, keys.aead.decrypt(data[start + size :], header, number)
        except CryptoError:
            return None

    def _note_received(
        self, space: QuicPacketSpace, number: int, now: float, *, is_eliciting: bool
    ) -> None:
        """Remember what is to be acknowledged, and by when (RFC 9000, 13.2)."""
        if number > space.largest_received_packet:
            space.largest_received_packet = number
            space.largest_received_time = now
        space.ack_queue.add(number)
        space.received_packets.add(number)
        if len(space.ack_queue) > MAX_ACK_RANGES:
            space.ack_queue.shift()
        if is_eliciting and space.ack_at is None:
            space.ack_at = now + self._ack_delay

    # Frames

    def _take_frames(self, payload: bytes, now: float) -> bool:
        """Take the frames of a packet, and return whether any must be acknowledged.

        STREAM and ACK frames, which come first or alone in nearly every packet, go by the shortest
        way; what follows another one, with it, by aioquic's.

        :raises QuicConnectionError: the peer is at fault.
        """
        context = QuicReceiveContext(
            tls.Epoch.ONE_RTT, self.host_cid, self._network_paths[0], None, now, None
        )
        if not payload:
            return self._payload_received(context, payload)[0]  # raises: there are no frames
        buf = Buffer(data=payload)
        is_eliciting = False
        while not buf.eof():
            at = buf.tell()
            frame_type = payload[at]  # those of more than a byte begin with none of ours
            is_stream = frame_type & 0xF8 == QuicFrameType.STREAM_BASE
            if not (is_stream or frame_type == QuicFrameType.ACK):
                return self._payload_received(context, payload[at:])[0] or is_eliciting
            buf.seek(at + 1)
            try:
                if is_stream:
                    is_eliciting = True
                    self._handle_stream_frame(context, frame_type, buf)
                else:
                    self._handle_ack_frame(context, frame_type, buf)
            except BufferReadError as exc:
                raise QuicConnectionError(
                    error_code=QuicErrorCode.FRAME_ENCODING_ERROR,
                    frame_type=frame_type,
                    reason_phrase="Failed to parse frame",
                ) from exc
            except StreamFinishedError:
                pass  # of a stream that is over, and forgotten
        return is_eliciting

    def _handle_stream_frame(
        self, context: QuicReceiveContext, frame_type: int, buf: Buffer
    ) -> None:
        """Take a STREAM frame (RFC 9000, 19.8): at once if it is the next of its stream.

        Whatever is to be said against it, or is not simply more, is for aioquic to say.
        """
        start = buf.tell()
        stream_id = buf.pull_uint_var()
        offset = buf.pull_uint_var() if frame_type & 4 else 0
        length = buf.pull_uint_var() if frame_type & 2 else buf.capacity - buf.tell()
        end = offset + length
        limit = self._local_max_data
        state = self._streams.get(stream_id)
        if (
            state is not None
            and 0 < length <= buf.capacity - buf.tell()
            and not frame_type & 1
            and end <= state.max_stream_data_local
            and limit.used + length <= limit.value
            and state.receiver.advance(offset, end)
        ):
            limit.used += length
            self._take_data(state, buf.pull_bytes(length), fin=False)
            return
        buf.seek(start)
        super()._handle_stream_frame(context, frame_type, buf)
        event = self._events[-1] if self._events else None
        if isinstance(event, StreamDataReceived):
            self._events.pop()  # taken now, or what comes next would overtake it
            self._take_data(self._streams[stream_id], event.data, fin=event.end_stream)
