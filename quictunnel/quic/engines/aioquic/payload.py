"""Reads the frames of a packet, within the limits on what a peer may cost.

It stands in for aioquic's own loop, which takes any number of frames.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from aioquic._buffer import Buffer, BufferReadError
from aioquic.quic.connection import QuicConnectionError
from aioquic.quic.packet import (
    NON_ACK_ELICITING_FRAME_TYPES,
    PROBING_FRAME_TYPES,
    QuicErrorCode,
    QuicFrameType,
)
from aioquic.quic.stream import StreamFinishedError

from quictunnel.protocol.codes import Code
from quictunnel.quic.engines.aioquic.streams import EmptyFrame
from quictunnel.quic.limits import FRAMES_PER_PACKET, LINK_FRAMES_PER_PACKET

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from aioquic import tls
    from aioquic.quic.connection import QuicReceiveContext

    from quictunnel.quic.engines.aioquic.peer_budget import PeerBudget

Handler: TypeAlias = "Callable[[QuicReceiveContext, int, Buffer], None]"

PADDING, CRYPTO = int(QuicFrameType.PADDING), int(QuicFrameType.CRYPTO)

STREAM_FRAMES = frozenset(
    {
        QuicFrameType.RESET_STREAM,
        QuicFrameType.STOP_SENDING,
        QuicFrameType.MAX_STREAM_DATA,
        QuicFrameType.STREAM_DATA_BLOCKED,
        *range(QuicFrameType.STREAM_BASE, QuicFrameType.STREAM_BASE + 8),
    }
)
"""Frames that name a stream. One packet may hold many: one or two for each of many streams."""


_UNKNOWN: tuple[Handler, tuple[()]] = (lambda context, frame_type, buf: None, ())


class PayloadReader:
    """Calls aioquic's handlers for the frames of a connection's packets.

    :param handlers: by frame type, with the encryption levels that may carry the frame.
    """

    def __init__(
        self,
        handlers: Mapping[int, tuple[Handler, Collection[tls.Epoch]]],
        budget: PeerBudget,
    ) -> None:
        self._handlers = handlers
        self._budget = budget

    def read(
        self, context: QuicReceiveContext, plain: bytes, *, needs_crypto: bool
    ) -> tuple[bool, bool]:
        """Handle the frames of a packet.

        :param needs_crypto: whether a packet without CRYPTO is an error: a client's first one.
        :return: whether the packet is ack-eliciting, and whether it only probes a path.
        :raises QuicConnectionError: a frame is malformed or not allowed, or there are too many.
        """
        if not plain:
            raise _violation(PADDING, "Packet contains no frames")
        buf = Buffer(data=plain)
        handlers, budget = self._handlers, self._budget
        limit = FRAMES_PER_PACKET if budget.is_proven else min(FRAMES_PER_PACKET, budget.frames)
        count = link_frames = 0
        is_ack_eliciting = has_crypto = False
        is_probing = True
        while not buf.eof():
            # A longer form, which no known type needs, is an unknown type (RFC 9000, 12.4).
            frame_type = buf.pull_uint8()
            if frame_type == PADDING:
                _skip_padding(buf, plain)
                continue
            handle, epochs = handlers.get(frame_type, _UNKNOWN)
            if context.epoch not in epochs:
                raise _not_allowed(frame_type, is_known=frame_type in handlers)
            count += 1
            if frame_type not in STREAM_FRAMES:
                link_frames += 1
            if count > limit or link_frames > LINK_FRAMES_PER_PACKET:
                raise _too_many(count, link_frames, frame_type)
            try:
                handle(context, frame_type, buf)
            except BufferReadError:
                raise _encoding_error(frame_type, "Failed to parse frame") from None
            except StreamFinishedError:
                pass  # a late frame: the stream has ended
            except EmptyFrame:
                link_frames += 1
            has_crypto = has_crypto or frame_type == CRYPTO
            is_ack_eliciting = is_ack_eliciting or frame_type not in NON_ACK_ELICITING_FRAME_TYPES
            is_probing = is_probing and frame_type in PROBING_FRAME_TYPES
        if link_frames > LINK_FRAMES_PER_PACKET:  # the last frame was an empty one
            raise _too_many(count, link_frames, frame_type)
        if not budget.is_proven:
            budget.frames -= count
        if needs_crypto and not has_crypto:  # RFC 9000, 17.2.2
            raise _violation(PADDING, "Packet contains no CRYPTO frame")
        return is_ack_eliciting, is_probing


def _skip_padding(buf: Buffer, plain: bytes) -> None:
    """Move on to the next byte that is not zero."""
    rest = plain[buf.tell() :]
    buf.seek(len(plain) - len(rest.lstrip(b"\0")))


def _too_many(count: int, link_frames: int, frame_type: int) -> QuicConnectionError:
    """Return the error of a packet with too many frames, or of a peer that has sent too many."""
    if count > FRAMES_PER_PACKET or link_frames > LINK_FRAMES_PER_PACKET:
        return _violation(frame_type, "Too many frames in a packet")
    return QuicConnectionError(Code.TOO_MUCH, None, Code.TOO_MUCH.word)  # type: ignore[arg-type]  # None makes it the application's close


def _not_allowed(frame_type: int, *, is_known: bool) -> QuicConnectionError:
    if is_known:
        return _violation(frame_type, "Unexpected frame type")
    return _encoding_error(frame_type, "Unknown frame type")


def _violation(frame_type: int, reason: str) -> QuicConnectionError:
    return QuicConnectionError(QuicErrorCode.PROTOCOL_VIOLATION, frame_type, reason)


def _encoding_error(frame_type: int, reason: str) -> QuicConnectionError:
    return QuicConnectionError(QuicErrorCode.FRAME_ENCODING_ERROR, frame_type, reason)
