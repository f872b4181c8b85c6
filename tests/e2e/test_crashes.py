"""Programs that die without a word, and servers that cut: a client never takes that for an end."""

from __future__ import annotations

import shutil
import subprocess

from programs import PATIENCE
from tunnels import READY_ORIGIN

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n"
"""Of an answer without a length, whose only end is the connection's."""

HALF = b"half of it\n" * 1000

CURL_OPTIONS = ("--silent", "--no-buffer", "--max-time", str(PATIENCE))
CURL_RECV_ERROR = 56


class Download:
    """A download under way, by curl where there is one and by a plain socket in any case."""

    def __init__(self, tunnel) -> None:
        self.client, self.server = tunnel.pair()
        self.client.say(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
        self.server.say(HEAD + HALF)
        assert self.client.hear(len(HEAD + HALF)) == HEAD + HALF
        self._curl = None
        self.servers = [self.server]
        if curl := shutil.which("curl"):
            self._curl = subprocess.Popen(
                [curl, *CURL_OPTIONS, f"http://127.0.0.1:{tunnel.outside_port}/"],
                stdout=subprocess.PIPE,
                env={},  # no proxy of the developer's
            )
            self.servers.append(tunnel.served())
            self.servers[1].say(HEAD + HALF)
            assert self._curl.stdout.read(len(HALF)) == HALF

    def is_cut(self) -> bool:
        """Whether the clients know that this was not all."""
        assert self.client.is_reset()
        if self._curl is not None:
            with self._curl:
                assert self._curl.wait(PATIENCE) == CURL_RECV_ERROR
        return True


def test_a_server_that_resets_cuts_the_download(standing):
    download = Download(standing)
    for server in download.servers:
        server.reset()
    assert download.is_cut()


def test_a_remote_that_dies_cuts_the_download(tunnel):
    download = Download(tunnel.up())
    tunnel.remote.kill()
    assert download.is_cut()
    # The origin does not know yet, and ends nevertheless when it is told to.
    tunnel.part()
    tunnel.origin.end()


def test_an_origin_that_dies_cuts_the_download_after_the_hold(tunnel):
    download = Download(tunnel.up(remote=("--hold", "1s")))
    tunnel.origin.kill()
    for server in download.servers:
        assert server.is_reset()
    assert download.is_cut()
    assert tunnel.remote.logged(r"client closed .* bytes_down=\d\d+")


def test_an_origin_that_comes_back_after_its_death_cuts_the_download_at_once(tunnel):
    download = Download(tunnel.up())
    tunnel.origin.kill()
    tunnel.start_origin().wait_for(READY_ORIGIN)
    assert download.is_cut()
    client, server = tunnel.pair()
    client.say(b"again")
    assert server.hear(5) == b"again"


def test_a_client_that_dies_resets_its_server(standing):
    client, server = standing.pair()
    client.say(b"x")
    assert server.hear(1) == b"x"
    client.reset()
    assert server.is_reset()
