"""Recordings of connections, with each engine at both ends."""

from __future__ import annotations

from dataclasses import dataclass, field

from pair import CLIENT_PATH, ROUGH, Network, Pair

from quictunnel.quic.settings import LinkSettings
from testkit import qlog_reader

SECRET = b"nobody but the two ends may know this"


@dataclass
class Trace:
    is_client: bool
    connection_id: bytes
    content: bytes = b""
    is_closed: bool = False

    def write(self, events: bytes) -> None:
        assert not self.is_closed
        self.content += events

    def close(self) -> None:
        assert not self.is_closed
        self.is_closed = True

    @property
    def events(self) -> list[dict]:
        return qlog_reader.parse_events(self.content)

    def named(self, name: str) -> list[dict]:
        """Return the data of all events of this name."""
        return [event["data"] for event in self.events if event["name"] == name]

    def packets(self, event: str) -> list[int]:
        """Return the numbers of the packets with data."""
        headers = [data["header"] for data in self.named(event)]
        return [each["packet_number"] for each in headers if each["packet_type"] == "1RTT"]


@dataclass
class Memory:
    """Keeps recordings, up to a limit."""

    limit: int = 2
    traces: list[Trace] = field(default_factory=list)

    def start_trace(self, *, is_client: bool, connection_id: bytes) -> Trace | None:
        if len(self.traces) == self.limit:
            return None
        self.traces.append(Trace(is_client, connection_id))
        return self.traces[-1]

    def of(self, *, is_client: bool) -> Trace:
        (trace,) = [trace for trace in self.traces if trace.is_client is is_client]
        return trace


def finish(pair: Pair) -> None:
    """Let both ends forget the connection."""
    for end in pair.ends:
        end.endpoint.receive([], pair.now)
        end.endpoint.forget(end.engine)


def test_both_ends_record_one_connection(engines):
    qlog = Memory()
    pair = Pair.trusting(engines=engines, settings=LinkSettings(qlog=qlog), echo=True)
    stream = pair.client.open(SECRET * 100, fin=True)
    pair.run(lambda: stream in pair.client.fins)
    pair.client.engine.close_with(0x20, "the origin was stopped")
    pair.run(lambda: pair.server.closed is not None)
    finish(pair)
    client, server = qlog.of(is_client=True), qlog.of(is_client=False)
    assert client.connection_id == server.connection_id
    for trace in (client, server):
        assert trace.is_closed
        states = [data["new"] for data in trace.named("connectivity:connection_state_updated")]
        assert states[0] == "attempted"
        assert "handshake_confirmed" in states
        (closed,) = trace.named("connectivity:connection_closed")
        assert closed["application_code"] == 0x20
        assert closed["reason"] == "the origin was stopped"
        assert closed["owner"] == ("local" if trace is client else "remote")
        assert trace.named("recovery:metrics_updated")
        assert SECRET not in trace.content
        assert b"token" not in trace.content.replace(b"new_token", b"")
    received = set(server.packets("transport:packet_received"))
    assert received <= set(client.packets("transport:packet_sent"))
    assert received


def test_losses_are_recorded(engines):
    qlog = Memory()
    pair = Pair.trusting(
        Network(**ROUGH), engines=engines, settings=LinkSettings(qlog=qlog), echo=True
    )
    stream = pair.client.open(bytes(200_000), fin=True)
    pair.run(lambda: stream in pair.client.fins)
    statistics = pair.client.engine.statistics
    finish(pair)
    client = qlog.of(is_client=True)
    lost = client.named("recovery:packet_lost")
    assert statistics.packets_lost > 0
    assert len(lost) >= statistics.packets_lost
    assert set(client.packets("recovery:packet_lost")) <= set(
        client.packets("transport:packet_sent")
    )


def test_a_move_is_recorded_at_both_ends(engines):
    qlog = Memory()
    pair = Pair.trusting(engines=engines, settings=LinkSettings(qlog=qlog))
    pair.client.path = (CLIENT_PATH[0], CLIENT_PATH[1] + 1, b"")
    pair.client.engine.move(pair.now)
    pair.run(lambda: pair.server.engine.peer == pair.client.path[:2])
    pair.run_for(1.0)
    finish(pair)
    for is_client, port in ((True, None), (False, CLIENT_PATH[1] + 1)):
        paths = qlog.of(is_client=is_client).named("connectivity:path_updated")
        assert len(paths) == 2
        assert port in (None, paths[1]["dst_port"])


def test_a_connection_that_is_not_recorded_works(engines):
    qlog = Memory(limit=0)
    pair = Pair.trusting(engines=engines, settings=LinkSettings(qlog=qlog), echo=True)
    stream = pair.client.open(SECRET, fin=True)
    pair.run(lambda: stream in pair.client.fins)
    finish(pair)
    assert qlog.traces == []
