"""Programs that are started again: who was there is told, and who comes is served.

How soon that is, the laboratory measures.
"""

from __future__ import annotations

import select
import signal

from installed_engines import another_than
from tunnels import READY_ORIGIN

MIXED_ENGINES = ("test_a_remote_that_is_killed_and_started_again_says_so",)

FORGOTTEN = r"link lost .*the remote has dropped this link: it was restarted, or another origin has"


def talk(tunnel) -> None:
    """Bring a new client to the origin server."""
    client, server = tunnel.pair()
    client.say(b"question")
    assert server.hear(8) == b"question"
    server.say(b"answer")
    assert client.hear(6) == b"answer"


def has_news(peer) -> bool:
    """Return whether anything has come, if only an end."""
    poll = select.poll()
    poll.register(peer.sock, select.POLLIN)
    return bool(poll.poll(0))


def killed_and_started_again(tunnel) -> None:
    tunnel.remote.kill()
    tunnel.start_remote()
    tunnel.remote_is_ready()


def assert_origin_comes_back(tunnel, *servers) -> None:
    """Those that were there are reset, and new ones served, as the remote itself has said it."""
    talk(tunnel)
    assert all(server.is_reset() for server in servers)
    assert tunnel.origin.logged(FORGOTTEN)
    assert tunnel.origin.logged(r"link established .*remote_restarted=true")


def test_a_remote_that_is_killed_and_started_again_says_so(tunnel):
    client, server = tunnel.up().pair()
    client.say(b"x")
    assert server.hear(1) == b"x"
    killed_and_started_again(tunnel)
    assert client.is_reset()
    assert_origin_comes_back(tunnel, server)


def test_a_remote_that_is_killed_under_load_says_so_too(tunnel):
    client, server = tunnel.up().pair()
    server.say(b"x" * 200_000)
    assert client.hear(100_000) == b"x" * 100_000
    killed_and_started_again(tunnel)
    server.say(b"!")
    assert client.is_reset()
    assert_origin_comes_back(tunnel, server)


def test_a_remote_may_come_back_with_another_engine(tunnel):
    client, server = tunnel.up().pair()
    client.say(b"x")
    assert server.hear(1) == b"x"
    of_the_origin, before = tunnel.engines
    tunnel.engines = (of_the_origin, another_than(before))
    killed_and_started_again(tunnel)
    assert_origin_comes_back(tunnel, server)


def test_that_nobody_listens_any_more_is_no_proof(tunnel):
    """Anybody can send an ICMP message; what the kernel makes of it ends no link that stands."""
    _, server = tunnel.up().pair()
    tunnel.remote.kill()
    server.say(b"is there anybody?")
    tunnel.origin.logged("silent")
    assert not has_news(server)
    tunnel.start_remote()
    tunnel.remote_is_ready()
    assert_origin_comes_back(tunnel, server)


def test_a_remote_that_is_out_of_reach_for_longer_than_the_hold_is_found_again(tunnel):
    client, server = tunnel.up(remote=("--hold", "2s")).pair()
    client.say(b"x")
    assert server.hear(1) == b"x"
    tunnel.remote.signal(signal.SIGSTOP)
    assert server.is_reset()
    tunnel.remote.signal(signal.SIGCONT)
    assert client.is_reset()
    talk(tunnel)


def test_of_two_origins_of_one_name_the_second_stays_and_the_first_ends(tunnel):
    first = tunnel.up().origin
    client, server = tunnel.pair()
    second = tunnel.start_origin()
    second.wait_for(READY_ORIGIN)
    assert client.is_reset()
    assert server.is_reset()
    assert first.ends() == 3
    assert "has taken over; a remote serves one origin at a time" in first.stderr
    talk(tunnel)
    assert second.stdout.count("ready:") == 1, "there was no fight"
