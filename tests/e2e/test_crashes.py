"""Programs that are killed, and servers that reset: a truncated download never looks complete."""

from __future__ import annotations

import shutil
import subprocess

from testkit.programs import CLIENT_CLOSED, PATIENCE, logged

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
