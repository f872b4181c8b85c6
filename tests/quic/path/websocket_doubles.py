"""A transport without a socket, and a handler that records what it is told."""

from __future__ import annotations

import asyncio

from quictunnel.quic.path.websocket_frames import FrameParser


class RecordingHandler:
    """Records datagrams and the end of a path."""

    def __init__(self):
        self.datagrams = []
        self.reasons = []
        self.arrived = asyncio.Event()

    def datagrams_received(self, datagrams):
        self.datagrams += datagrams
        self.arrived.set()

    def path_closed(self, reason):
        self.reasons.append(reason)
        self.arrived.set()

    async def wait_for(self, count):
        """Wait until `count` datagrams have arrived."""
        while len(self.datagrams) < count and not self.reasons:
            self.arrived.clear()
            await self.arrived.wait()

    async def wait_closed(self):
        """Return the reason once the path has ended."""
        while not self.reasons:
            self.arrived.clear()
            await self.arrived.wait()
        return self.reasons[0]


class FakeTransport(asyncio.Transport):
    """Accepts a number of bytes, and pauses its protocol while more wait."""

    def __init__(self, room=1 << 30):
        super().__init__()
        self.room = room
        self.sent = b""
        self.waiting = b""
        self.is_reading = True
        self.is_aborted = False
        self._closing = False
        self._paused = False
        self._protocol = None

    def set_protocol(self, protocol):
        self._protocol = protocol

    def set_write_buffer_limits(self, high=None, low=None):
        assert high == 1, "transports with TLS pause for ever with 0"

    def get_write_buffer_size(self):
        return len(self.waiting)

    def pause_reading(self):
        self.is_reading = False

    def resume_reading(self):
        self.is_reading = True

    def is_closing(self):
        return self._closing

    def write(self, data):
        assert not self._closing
        self.waiting += data
        self.accept(0)

    def accept(self, size):
        """Let the line accept more bytes."""
        self.room += size
        accepted, self.waiting = self.waiting[: self.room], self.waiting[self.room :]
        self.sent += accepted
        self.room -= len(accepted)
        self._update()

    def _update(self):
        if self.waiting and not self._paused:
            self._paused = True
            self._protocol.pause_writing()
        elif not self.waiting and self._paused:
            self._paused = False
            self._protocol.resume_writing()

    def close(self):
        self._closing = True

    def abort(self):
        self._closing = True
        self.is_aborted = True

    def sent_by(self, *, masked):
        """Return the datagrams in what was sent, and the parser that has parsed them."""
        parser = FrameParser(masked=masked)
        return parser.feed(self.sent), parser


class FakeTls(FakeTransport):
    """The transport of TLS above that of TCP. It encrypts nothing.

    As in asyncio, it pauses its protocol only when it holds data itself, which it does while TCP
    has some, and it does not report that TCP is closing.
    """

    def __init__(self, tcp):
        super().__init__()
        self.tcp = tcp
        tcp.set_protocol(self)

    def write(self, data):
        assert not self._closing
        self.waiting += data
        self.accept(0)

    def accept(self, size):
        """Pass on the data, unless TCP has some that waits."""
        if not self.tcp.waiting:
            data, self.waiting = self.waiting, b""
            self.tcp.write(data)
        self._update()

    def pause_writing(self):
        """TCP has data that waits."""

    def resume_writing(self):
        """TCP has none left."""
        self.accept(0)
