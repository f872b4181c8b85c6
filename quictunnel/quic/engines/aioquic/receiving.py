"""What a connection receives: inboxes that are read by pull, windows, and word of every end.

Credit moves as data is read, not as it arrives; what nobody reads is counted against the process's
budget. Events of aioquic become calls of the link's `Observer` here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from aioquic import tls
from aioquic.quic import events
from aioquic.quic.connection import QuicConnectionState, stream_is_client_initiated
from aioquic.quic.packet import QuicErrorCode, QuicFrameType

from quictunnel.quic.engines.aioquic.repeating import RepeatingConnection
from quictunnel.quic.engines.aioquic.spans import CRYPTO_SPANS_MAX, BoundedReceiver
from quictunnel.quic.flow_control import Budget, LinkWindow

if TYPE_CHECKING:
    from quictunnel.quic.engine import Observer
    from quictunnel.quic.engines.aioquic.streams import StreamState


FORGOTTEN = "the peer no longer knows the connection"
"""Why a connection has ended with a stateless reset."""


class Routes(Protocol):
    """Who leads datagrams to connections by their ids, and answers those for none."""

    def lead(self, connection_id: bytes, connection: ReceivingConnection) -> None:
        """Lead datagrams to this connection id to a connection."""

    def lead_no_more(self, connection_id: bytes, connection: ReceivingConnection) -> None:
        """Do so no longer: the peer has retired the id."""

    def reset_token(self, connection_id: bytes) -> bytes:
        """Return what the peer will know a stateless reset by (RFC 9000, 10.3)."""


class ReceivingConnection(RepeatingConnection):
    """A connection that keeps what has come until it is read, and tells of it.

    :param budget: what is held unread, over all connections that share it.
    :param routes: is told of connection ids that the peer may use from now on, or will no more.
    """

    def __init__(
        self,
        *,
        budget: Budget,
        routes: Routes,
        **arguments: Any,  # noqa: ANN401 - aioquic's own
    ) -> None:
        super().__init__(**arguments)
        self._budget = budget
        self._routes = routes
        self._proven = False
        self._window = LinkWindow(budget)
        self._read = 0  # bytes of all streams that were read, or that nobody will read
        self._in_budget = 0  # bytes of ours that `budget` has counted
        self._now = 0.0
        self._closed_told = False
        self.forgotten_by_peer = False
        """A stateless reset has ended it."""

    def _initialize(self, peer_cid: bytes) -> None:
        super()._initialize(peer_cid)
        for stream in self._crypto_streams.values():
            stream.receiver = BoundedReceiver(None, spans_max=CRYPTO_SPANS_MAX)

    def read(self, stream_id: int, limit: int) -> tuple[bytes, bool]:
        """Take what has come, up to about `limit` bytes, and whether it was the last of it."""
        state = self._streams[stream_id]
        unread = state.unread
        chunks = []
        size = 0
        while unread and size < limit:
            chunk = unread.popleft()
            chunks.append(chunk)
            size += len(chunk)
        if size:
            self._read += size
            moved = state.window.take(
                size,
                # What waits behind a gap waits for the network, and not for the reader.
                unread=state.receiver.starting_offset() - state.window.read - size,
                now=self._now,
                rtt=self._loss.smoothed_rtt or self._configuration.initial_rtt,
                may_grow=self._budget.may_grow,
            )
            if moved and not state.fin_received:
                state.max_stream_data_local = state.window.limit
                self._limits_due[stream_id] = state
        if state.fin_received and not unread:
            state.fin_read = True
            self._touched[stream_id] = state
        return (chunks[0] if len(chunks) == 1 else b"".join(chunks)), state.fin_read

    def stop_reading(self, stream_id: int, code: int) -> None:
        """Drop what is unread and what still comes; what we send goes on."""
        self._stop_reading(self._streams[stream_id], code)

    def _stop_reading(self, state: StreamState, code: int) -> None:
        state.stop_reading(code)
        self._count_dropped(state)
        self._touch(state)

    def _count_dropped(self, state: StreamState) -> None:
        """Count as read what nobody will read: the peer may take minutes to end the stream."""
        receiver = state.receiver
        over = receiver.highest_offset if receiver.is_finished else receiver.starting_offset()
        self._read += over - state.window.read
        state.window.read = over

    # Stateless resets (RFC 9000, 10.3)

    @property
    def reset_tokens(self) -> list[bytes]:
        """The tokens of those connection ids of the peer that are in use, and not retired."""
        reserved = [path.peer_cid for path in self._network_paths if path.peer_cid is not None]
        tokens = [known.stateless_reset_token for known in (self._peer_cid, *reserved)]
        return [token for token in tokens if token]

    def end_by_reset(self, now: float) -> None:
        """End, as the peer does not know it any more; nothing is sent from here on."""
        if self._close_event is not None:
            return
        self.forgotten_by_peer = True
        self._close_event = events.ConnectionTerminated(
            error_code=QuicErrorCode.NO_ERROR,
            frame_type=QuicFrameType.PADDING,
            reason_phrase=FORGOTTEN,
        )
        self._close_begin(is_initiator=False, now=now)

    def _replenish_connection_ids(self) -> None:
        super()._replenish_connection_ids()
        for connection_id in self._host_cids:
            if not connection_id.was_sent:
                connection_id.stateless_reset_token = self._routes.reset_token(connection_id.cid)

    # What has happened

    def dispatch(self, observer: Observer) -> None:
        """Tell `observer` what has happened since the last call."""
        while (event := self.next_event()) is not None:
            self._tell(event, observer)
        self._announce_opened(observer)
        while self._readable:
            readable, self._readable = self._readable, {}
            for stream_id, state in readable.items():
                if not state.unwanted:
                    observer.on_stream_readable(stream_id)
        self._discard_ended(observer)
        self._count_unread()
        if self._close_event is not None and not self._closed_told:
            self._closed_told = True
            if self._proven:
                self._window.end()
            closing = self._close_event
            by_peer = self._state is QuicConnectionState.DRAINING
            code = closing.error_code if closing.frame_type is None else None
            observer.on_closed(code, _why_closed(closing), by_peer=by_peer)

    def _tell(self, event: events.QuicEvent, observer: Observer) -> None:
        if isinstance(event, events.StreamReset):
            self._announce_opened(observer)
            state = self._touch_by_number(event.stream_id)
            if state is not None and state.unwanted:
                self._count_dropped(state)
            elif state is not None:
                observer.on_stream_reset(event.stream_id, event.error_code)
        elif isinstance(event, events.StopSendingReceived):
            self._announce_opened(observer)
            state = self._touch_by_number(event.stream_id)
            if state is not None and not state.forgotten:
                observer.on_stream_stopped(event.stream_id, event.error_code)
        elif isinstance(event, events.HandshakeCompleted):
            observer.on_handshake()
        elif isinstance(event, events.ConnectionIdIssued):
            self._routes.lead(event.connection_id, self)
        elif isinstance(event, events.ConnectionIdRetired):
            self._routes.lead_no_more(event.connection_id, self)

    def _announce_opened(self, observer: Observer) -> None:
        """Tell of new streams before anything that happened to them."""
        opened, self._opened = self._opened, []
        for stream_id in opened:
            observer.on_stream_opened(stream_id)

    def _touch_by_number(self, stream_id: int) -> StreamState | None:
        """Return a stream that may be over with what has come, to be looked at afterwards."""
        state = self._streams.get(stream_id)
        if state is not None:
            self._touched[stream_id] = state
        return state

    def _take_data(self, state: StreamState, data: bytes, *, fin: bool) -> None:
        """Keep what has come of a stream, in order."""
        if fin:
            state.fin_received = True
            self._touched[state.number] = state
        if state.unwanted:
            self._count_dropped(state)
            return
        if data:
            state.keep(data)
        self._readable[state.number] = state

    def _discard_ended(self, observer: Observer) -> None:
        """Forget the streams that are over, and let the peer open as many new ones."""
        while self._touched:
            touched, self._touched = self._touched, {}
            for stream_id, state in touched.items():
                if not state.may_be_discarded or self._streams.pop(stream_id, None) is None:
                    continue
                self._sending.pop(stream_id, None)
                self._held.pop(stream_id, None)
                self._limits_due.pop(stream_id, None)
                self._read += state.receiver.highest_offset - state.window.read
                if stream_is_client_initiated(stream_id) != self._is_client:
                    self._local_max_streams_bidi.value += 1  # RFC 9000, 4.6
                if not state.forgotten:
                    observer.on_stream_ended(stream_id)

    def _count_unread(self) -> None:
        """Bring the process's budget up to date, and the link's window with it."""
        limit = self._local_max_data
        unread = 0 if self._closed_told else limit.used - self._read
        self._budget.unread += unread - self._in_budget
        self._in_budget = unread
        if self._proven:
            limit.value = self._window.move(
                limit.value, used=limit.used, read=self._read, now=self._now
            )


def _why_closed(event: events.ConnectionTerminated) -> str:
    """Return words for logs on why a connection has ended."""
    if event.reason_phrase == "Idle timeout":  # aioquic's words for what is no internal error
        return "silent for longer than the hold"
    words = []
    if event.frame_type is not None and event.error_code != QuicErrorCode.NO_ERROR:
        words.append(_name(event.error_code))
    if event.reason_phrase:
        words.append(event.reason_phrase)
    return ": ".join(words)


def _name(code: int) -> str:
    """Return the name of a transport error (RFC 9000, 20.1), or of the TLS alert within."""
    try:
        if QuicErrorCode.CRYPTO_ERROR <= code < QuicErrorCode.CRYPTO_ERROR + 0x100:
            return tls.AlertDescription(code - QuicErrorCode.CRYPTO_ERROR).name
        return QuicErrorCode(code).name.lower()
    except ValueError:
        return f"QUIC error {code:#x}"
