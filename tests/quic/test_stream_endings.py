"""How a stream's end is told, as a transport's: FIN, close, reset, and the loss of its link."""

from __future__ import annotations

from link_pair import LinkPair, Network, Recorder, over_links, seconds, settle, until
from pair import ROUGH, Engines

from quictunnel.errors import LinkLost, StreamReset


@over_links
async def test_the_end_of_one_direction_leaves_the_other(engines: Engines) -> None:
    pair = await LinkPair.made(engines=engines)
    ours, theirs = await pair.streams()
    ours.stream.write(b"question")
    ours.stream.write_eof()
    await seconds(1)
    assert theirs.calls == ["connection_made", "eof_received"]
    theirs.stream.write(b"answer")
    await seconds(1)
    assert ours.data == b"answer"
    theirs.stream.write_eof()
    await seconds(1)
    assert ours.calls == ["connection_made", "eof_received", "connection_lost"]
    assert theirs.calls == ["connection_made", "eof_received", "connection_lost"]
    assert ours.exc is theirs.exc is None
    assert pair.client.stream_count == pair.server.stream_count == 0


@over_links
async def test_a_stream_ends_in_order_only_when_all_is_acknowledged(engines: Engines) -> None:
    pair = await LinkPair.made(engines=engines)
    ours, theirs = await pair.streams()
    theirs.stream.write_eof()
    await seconds(1)
    ours.stream.write(bytes(10_000))
    ours.stream.write_eof()
    await settle()
    assert not ours.lost
    pair.network.cut = True
    await seconds(30)
    assert not ours.lost
    pair.network.cut = False
    await until(lambda: ours.lost)
    assert len(theirs.data) == 10_000


@over_links
async def test_eof_received_that_returns_false_closes(engines: Engines) -> None:
    pair = await LinkPair.made(engines=engines)
    ours, theirs = await pair.streams(theirs=Recorder(keep_open=False))
    ours.stream.write_eof()
    await seconds(1)
    assert ours.calls == ["connection_made", "eof_received", "connection_lost"]
    assert theirs.exc is ours.exc is None


@over_links
async def test_close_sends_what_was_written_first(engines: Engines) -> None:
    """The peer has ended its direction: this is an orderly end."""
    pair = await LinkPair.made(Network(**ROUGH), engines=engines)
    ours, theirs = await pair.streams()
    theirs.stream.write_eof()
    await seconds(1)
    ours.stream.write(bytes(1_000_000))
    ours.stream.close()
    assert ours.stream.is_closing()
    await until(lambda: ours.lost and theirs.lost)
    assert len(theirs.data) == 1_000_000
    assert ours.exc is theirs.exc is None
    assert theirs.calls == ["connection_made", "eof_received", "connection_lost"]


@over_links
async def test_close_before_the_peers_end_sends_what_was_written_as_well(engines: Engines) -> None:
    pair = await LinkPair.made(engines=engines)
    ours, theirs = await pair.streams()
    ours.stream.write(bytes(1_000_000))
    ours.stream.close()
    await until(lambda: ours.lost)
    assert ours.exc is None, "we closed it"
    assert len(theirs.data) == 1_000_000


@over_links
async def test_writing_after_close_is_ignored(engines: Engines) -> None:
    pair = await LinkPair.made(engines=engines)
    ours, theirs = await pair.streams()
    ours.stream.write(b"in time")
    ours.stream.close()
    ours.stream.write(b"too late")
    await seconds(3)
    assert theirs.data == b"in time"


@over_links
async def test_an_answer_and_a_close_arrive_at_a_peer_that_has_not_ended(engines: Engines) -> None:
    pair = await LinkPair.made(engines=engines)
    ours, theirs = await pair.streams()
    ours.stream.write(b"answer")
    ours.stream.close()
    await seconds(3)
    assert theirs.data == b"answer"
    assert "eof_received" in theirs.calls


@over_links
async def test_a_reset_tells_the_peer_its_code(engines: Engines) -> None:
    pair = await LinkPair.made(engines=engines)
    ours, theirs = await pair.streams()
    ours.stream.write(bytes(300_000))
    ours.stream.reset(0x16)
    assert not ours.lost, "never from within reset"
    await settle()
    assert ours.calls[-1] == "connection_lost"
    assert ours.exc is None
    await seconds(1)
    assert isinstance(theirs.exc, StreamReset)
    assert theirs.exc.code == 0x16
    assert "eof_received" not in theirs.calls
    assert pair.client.stream_count == pair.server.stream_count == 0
    assert pair.client.paused_writers == set()


@over_links
async def test_a_reset_reaches_a_peer_that_does_not_read(engines: Engines) -> None:
    pair = await LinkPair.made(engines=engines)
    ours, theirs = await pair.streams(theirs=Recorder(paused=True))
    ours.stream.write(bytes(300_000))
    await seconds(1)
    ours.stream.reset(0x10)
    await seconds(1)
    assert isinstance(theirs.exc, StreamReset)


@over_links
async def test_after_its_end_a_stream_is_deaf(engines: Engines) -> None:
    pair = await LinkPair.made(engines=engines)
    ours, _ = await pair.streams()
    ours.stream.abort()
    ours.stream.write(b"!")
    ours.stream.write_eof()
    ours.stream.pause_reading()
    ours.stream.resume_reading()
    ours.stream.close()
    ours.stream.abort()
    await seconds(1)
    assert ours.calls == ["connection_made", "connection_lost"]
    assert ours.stream.get_write_buffer_size() == 0


@over_links
async def test_a_reset_from_within_data_received(engines: Engines) -> None:
    class Abrupt(Recorder):
        def data_received(self, data: bytes) -> None:
            self.stream.reset(0x15)

    pair = await LinkPair.made(engines=engines)
    ours, theirs = await pair.streams(theirs=Abrupt())
    await seconds(1)
    assert theirs.calls == ["connection_made", "connection_lost"]
    assert isinstance(ours.exc, StreamReset)
    assert ours.exc.code == 0x15


@over_links
async def test_a_lost_link_is_told_to_every_stream(engines: Engines) -> None:
    pair = await LinkPair.made(engines=engines)
    both = [await pair.streams() for _ in range(3)]
    pair.server.close(0x20, "goodbye")
    await seconds(1)
    for ours, theirs in both:
        assert isinstance(ours.exc, LinkLost)
        assert isinstance(theirs.exc, LinkLost)
        assert ours.calls.count("connection_lost") == 1


async def paused_writer(pair: LinkPair) -> tuple[Recorder, Recorder]:
    """Return a stream's two protocols: ours has filled every buffer, and theirs does not read."""
    ours, theirs = await pair.streams(theirs=Recorder(paused=True))
    ours.stream.write(bytes(16_000_000))
    await seconds(5)
    assert ours.calls == ["connection_made", "pause_writing"]
    return ours, theirs


@over_links
async def test_a_paused_writer_is_woken_when_the_peer_closes(engines: Engines) -> None:
    """The peer reads no more. Without the wake-up, the writer would wait for ever."""
    pair = await LinkPair.made(engines=engines)
    ours, theirs = await paused_writer(pair)
    theirs.stream.close()
    await seconds(1)
    assert ours.calls.count("resume_writing") == 1
    assert pair.client.paused_writers == set()
    assert ours.exc is None


@over_links
async def test_a_paused_writer_is_woken_by_a_close_while_nothing_can_be_sent(
    engines: Engines,
) -> None:
    """The wake-up follows from the peer's STOP_SENDING alone, not from a datagram of our own."""
    pair = await LinkPair.made(engines=engines)
    ours, theirs = await paused_writer(pair)
    pair.client_socket.is_full = True
    theirs.stream.close()
    await seconds(0.1)
    assert ours.calls.count("resume_writing") == 1
    pair.client_socket.is_full = False
    pair.client.socket_writable()
    await until(lambda: ours.lost and theirs.lost)
    assert ours.calls.count("resume_writing") == 1


@over_links
async def test_what_is_written_after_the_peer_has_closed_is_discarded(engines: Engines) -> None:
    pair = await LinkPair.made(engines=engines)

    class Eager(Recorder):
        def resume_writing(self) -> None:
            super().resume_writing()
            self.stream.write(bytes(16_000_000))

    ours, theirs = await pair.streams(ours=Eager(), theirs=Recorder(paused=True))
    ours.stream.write(bytes(16_000_000))
    await seconds(5)
    theirs.stream.close()
    await until(lambda: ours.lost and theirs.lost)
    assert ours.calls.count("pause_writing") == 1
