"""`--qlog` of the installed program, with each engine: valid files, and no secrets in them."""

from __future__ import annotations

import signal
import stat
import time

from testkit import qlog_reader
from testkit.programs import PATIENCE

ONE_ENGINE = ("test_a_directory_that_cannot_be_used_is_an_error",)

SECRET = b"the content of a stream, which is nobody's business"

SIZE = 300_000


def recorded(tunnel, folder) -> list[qlog_reader.QlogFile]:
    """Let a client exchange data, stop both ends, and return their files."""
    tunnel.up(remote=("--qlog", folder), origin=("--qlog", folder))
    client, server = tunnel.pair()
    client.send(SECRET)
    assert server.receive(len(SECRET)) == SECRET
    server.send(SECRET + bytes(SIZE))
    server.send_eof()
    client.send_eof()
    assert len(client.receive_all()) == len(SECRET) + SIZE
    for program in (tunnel.origin, tunnel.remote):
        program.signal(signal.SIGTERM)
        assert program.wait() == 0
    files = [qlog_reader.read(path) for path in sorted(folder.iterdir())]
    complete = [file for file in files if "handshake_complete" in file.states]
    assert {file.vantage_point for file in complete} == {"client", "server"}
    return complete


def test_both_ends_record_the_link(tunnel, tmp_path):
    files = recorded(tunnel, tmp_path / "qlog")
    assert len({file.connection_id for file in files}) == 1
    for file in files:
        assert file.states[0] == "attempted"
        assert {"handshake_started", "handshake_complete", "handshake_confirmed"} <= set(
            file.states
        )
        counts = file.counts
        assert counts["transport:packet_sent"] > 10
        assert counts["transport:packet_received"] > 10
        assert counts["recovery:metrics_updated"] > 0
        assert counts["connectivity:connection_closed"] == 1
        assert counts["connectivity:mtu_updated"] > 0
        paths = [e["data"] for e in file.events if e["name"] == "connectivity:path_updated"]
        assert paths[0]["dst_ip"] == "127.0.0.1"
        kinds = {frame["frame_type"] for frame in file.frames("packet_sent")}
        assert {"crypto", "ack", "new_connection_id", "stream"} <= kinds
        rtts = [
            event["data"]["smoothed_rtt"]
            for event in file.events
            if "smoothed_rtt" in event["data"]
        ]
        assert all(0 < rtt < PATIENCE * 1000 for rtt in rtts), "milliseconds"
        assert rtts
    by_end = {file.vantage_point: file for file in files}
    sent = sum(frame["length"] for frame in stream_frames(by_end["client"], "packet_sent"))
    assert sent >= SIZE


def stream_frames(file, event) -> list[dict]:
    return [frame for frame in file.frames(event) if frame["frame_type"] == "stream"]


def test_the_files_have_no_secrets_and_are_private(tunnel, tmp_path):
    folder = tmp_path / "qlog"
    files = recorded(tunnel, folder)
    secret = tunnel.token.reveal().partition(".")[2].encode()
    for path in folder.iterdir():
        content = path.read_bytes()
        assert SECRET not in content
        assert SECRET.hex().encode() not in content
        assert secret not in content
        assert b"reset_token" not in content
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for file in files:
        for event in file.events:
            assert "stateless_reset_token" not in event["data"]


def test_a_file_can_be_read_while_the_link_is_up(tunnel, tmp_path):
    folder = tmp_path / "qlog"
    tunnel.up(remote=("--qlog", folder))
    deadline = time.monotonic() + PATIENCE
    while True:
        files = [qlog_reader.read(path) for path in folder.iterdir()] if folder.exists() else []
        if any("handshake_confirmed" in file.states for file in files):
            return
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_directory_that_cannot_be_used_is_an_error(programs, tmp_path):
    (tmp_path / "file").touch()
    for path, reason in (
        (tmp_path / "file", "is not a directory"),
        (tmp_path / "missing" / "qlog", "does not exist"),
    ):
        program = programs.quictunnel("remote", "--qlog", path)
        assert program.wait() == 2
        assert reason in program.stderr
        assert program.stderr.count("\n") == 1
