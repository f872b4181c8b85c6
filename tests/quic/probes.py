"""Questions to an engine beyond its interface, and the differences between the engines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from quictunnel.protocol.codes import Code
from quictunnel.quic import flow_control as flow
from quictunnel.quic.limits import HANDSHAKE_BYTES

if TYPE_CHECKING:
    from quictunnel.quic.engine import Endpoint, Engine


class Probe:
    """One engine's answers."""

    stream_window: int
    """Bytes that a stream that is not read may be sent."""

    read_window: int
    """Bytes that it may be sent beyond those that were read, once half of that was read at once."""

    hello_window: int
    """Bytes that an accepted peer may send before it has proven itself."""

    handshake_bytes: int
    """Bytes of TLS messages that are accepted at each encryption level."""

    code_of_too_many_frames: int | None
    """The code of a link that is closed for too many frames in a packet; None: an error of QUIC."""

    counts_empty_stream_frames: bool
    """Whether STREAM frames without data count as frames that do nothing for a stream."""

    taken_ahead: int
    """Bytes that the engine takes of what is written, at most, before they can be sent."""

    @staticmethod
    def streams(engine: Engine) -> int:
        """How many streams the connection keeps something of."""
        raise NotImplementedError

    @staticmethod
    def datagram_size(engine: Engine) -> int:
        """The largest datagram that is sent but as a probe."""
        raise NotImplementedError

    @staticmethod
    def connections(endpoint: Endpoint) -> int:
        """How many connections datagrams are led to."""
        raise NotImplementedError

    @staticmethod
    def unread(endpoint: Endpoint) -> int | None:
        """How many bytes all its connections hold unread, where that is known."""
        raise NotImplementedError

    @staticmethod
    def describe(engine: Engine) -> str:
        """Where things stand, for a failing test."""
        raise NotImplementedError

    def assert_nothing_left(self, endpoint: Endpoint, engine: Engine) -> None:
        """Nothing is kept of any stream, and none of the process's memory."""
        assert self.streams(engine) == 0


class AioquicProbe(Probe):
    stream_window = flow.STREAM_WINDOW
    read_window = flow.STREAM_WINDOW
    hello_window = flow.HELLO_WINDOW
    handshake_bytes = HANDSHAKE_BYTES
    code_of_too_many_frames = None
    counts_empty_stream_frames = True
    taken_ahead = 0

    @staticmethod
    def streams(engine: Any) -> int:
        return len(engine._table.open)

    @staticmethod
    def datagram_size(engine: Any) -> int:
        return engine._max_datagram_size

    @staticmethod
    def connections(endpoint: Any) -> int:
        assert set(endpoint._routes.values()) == set(endpoint._ids)
        return len(endpoint._ids)

    @staticmethod
    def unread(endpoint: Any) -> int:
        return endpoint.budget.unread

    @staticmethod
    def describe(engine: Any) -> str:
        return (
            f"{len(engine._table.open)} streams, {len(engine._table.send_queue)} sending, "
            f"{engine._loss.bytes_in_flight} bytes of {engine._loss.congestion_window} in flight"
        )

    def assert_nothing_left(self, endpoint: Any, engine: Any) -> None:
        """Every table that is about streams is empty, and the budget is given back."""
        table = engine._table
        assert not table.open
        assert not len(table.send_queue)
        for part in (table.windows_moved, table._readable, table._changed):
            assert not part
        assert not engine._streams
        assert not engine._streams_queue
        assert not engine._streams_blocked_bidi
        assert not engine._events
        assert endpoint.budget.unread == 0


class QuinnProbe(Probe):
    taken_ahead = 1024 * 1024
    handshake_bytes = 16 * 1024
    code_of_too_many_frames = Code.PROTOCOL_VIOLATION
    counts_empty_stream_frames = False

    @property
    def stream_window(self) -> int:  # type: ignore[override]
        import quictunnel_quinn  # noqa: PLC0415 - it may not be there

        return quictunnel_quinn.STREAM_WINDOW_FIRST

    @property
    def read_window(self) -> int:  # type: ignore[override]
        import quictunnel_quinn  # noqa: PLC0415 - it may not be there

        return quictunnel_quinn.STREAM_WINDOW

    @property
    def hello_window(self) -> int:  # type: ignore[override]
        import quictunnel_quinn  # noqa: PLC0415 - it may not be there

        return quictunnel_quinn.HELLO_WINDOW

    @staticmethod
    def streams(engine: Any) -> int:
        return engine.stream_count

    @staticmethod
    def datagram_size(engine: Any) -> int:
        return engine.statistics.mtu

    @staticmethod
    def connections(endpoint: Any) -> int:
        return endpoint.native.connection_count

    @staticmethod
    def unread(endpoint: Any) -> None:
        return None

    @staticmethod
    def describe(engine: Any) -> str:
        found = engine.statistics
        return (
            f"{engine.stream_count} streams, a window of {found.congestion_window} bytes, "
            f"{found.packets_lost} packets lost"
        )


PROBES: dict[str, Probe] = {"aioquic": AioquicProbe(), "quinn": QuinnProbe()}
