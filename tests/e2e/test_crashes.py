"""Programs that are killed, and servers that reset: a truncated download never looks complete."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from testkit.programs import (
    CLIENT_CLOSED,
    CONNECT_FAILED,
    LINK_LOST,
    PATIENCE,
    PROCESS_ENDED,
    logged,
)

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux reports ICMP errors")

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n"
"""Of a response without a length: it ends with the connection."""

HALF = b"half of it\n" * 1000

CURL_OPTIONS = ("--silent", "--no-buffer", "--max-time", str(PATIENCE))
CURL_RECV_ERROR = 56


class HalfDownload:
    """A download in flight, with a plain socket and also with curl if it is installed."""

    def __init__(self, tunnel) -> None:
        self.client, self.server = tunnel.pair()
        self.client.send(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
        self.server.send(HEAD + HALF)
        assert self.client.receive(len(HEAD + HALF)) == HEAD + HALF
        self._curl = None
        self.servers = [self.server]
        if curl := shutil.which("curl"):
            self._curl = subprocess.Popen(
                [curl, *CURL_OPTIONS, f"http://127.0.0.1:{tunnel.outside_port}/"],
                stdout=subprocess.PIPE,
                env={},  # ignore the developer's proxy settings
            )
            self.servers.append(tunnel.accept())
            self.servers[1].send(HEAD + HALF)
            assert self._curl.stdout.read(len(HALF)) == HALF

    def fails(self) -> bool:
        """Return whether all clients see that the download is incomplete."""
        assert self.client.is_reset()
        if self._curl is not None:
            with self._curl:
                assert self._curl.wait(PATIENCE) == CURL_RECV_ERROR
        return True


def test_a_reset_by_the_server_fails_the_download(shared_tunnel):
    download = HalfDownload(shared_tunnel)
    for server in download.servers:
        server.reset()
    assert download.fails()


def test_the_death_of_the_remote_fails_the_download(tunnel):
    download = HalfDownload(tunnel.up())
    tunnel.remote.kill()
    assert download.fails()
    # The origin has not noticed yet. SIGTERM ends it nevertheless.
    tunnel.reset_connections()
    tunnel.origin.end()


@on_linux
def test_the_death_of_the_remote_resets_the_servers(tunnel):
    """No other remote takes its place, which would reset the link at once."""
    download = HalfDownload(tunnel.up())
    idle_client, idle_server = tunnel.pair()
    tunnel.remote.kill()
    for server in (*download.servers, idle_server):
        assert server.is_reset()
    assert download.fails()
    assert idle_client.is_reset()
    tunnel.origin.wait_for(f"^lost: {PROCESS_ENDED}")
    tunnel.origin.wait_for_log(logged(CONNECT_FAILED))
    assert tunnel.origin.stderr.count(LINK_LOST) == 1
    tunnel.reset_connections()
    tunnel.start_remote()
    tunnel.wait_for_remote()
    client, server = tunnel.pair()
    client.send(b"again")
    assert server.receive(5) == b"again"


@on_linux
def test_the_death_of_the_origin_resets_the_clients(tunnel):
    """No other origin takes its place, and the hold is much longer than the test waits."""
    download = HalfDownload(tunnel.up())
    idle_client, idle_server = tunnel.pair()
    tunnel.origin.kill()
    for server in (*download.servers, idle_server):
        assert server.is_reset()
    assert download.fails()
    assert idle_client.is_reset()
    tunnel.remote.wait_for(f"^lost: origin box.*{PROCESS_ENDED}")
    assert tunnel.remote.wait_for_log(logged(CLIENT_CLOSED, bytes_down=r"\d\d+"))
    assert tunnel.remote.stderr.count(LINK_LOST) == 1


@on_linux
def test_the_death_of_an_origin_in_an_upload_resets_the_client(tunnel):
    """Its machine reports the closed port for data as well as for pings."""
    client, server = tunnel.up().pair()
    client.send(b"x" * 200_000)
    assert server.receive(100_000) == b"x" * 100_000
    tunnel.origin.kill()
    assert server.is_reset()
    assert client.is_reset()


def test_the_death_of_the_origin_fails_the_download_after_the_hold(tunnel):
    download = HalfDownload(tunnel.up(remote=("--hold", "1s")))
    tunnel.origin.kill()
    for server in download.servers:
        assert server.is_reset()
    assert download.fails()
    assert tunnel.remote.wait_for_log(logged(CLIENT_CLOSED, bytes_down=r"\d\d+"))


def test_a_restarted_origin_fails_the_download_at_once(tunnel):
    download = HalfDownload(tunnel.up())
    tunnel.origin.kill()
    tunnel.start_origin()
    tunnel.wait_for_origin()
    assert download.fails()
    client, server = tunnel.pair()
    client.send(b"again")
    assert server.receive(5) == b"again"


def test_a_reset_by_the_client_resets_the_server(shared_tunnel):
    client, server = shared_tunnel.pair()
    client.send(b"x")
    assert server.receive(1) == b"x"
    client.reset()
    assert server.is_reset()
