"""Sockets that the service manager passes on."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import textwrap

import pytest

from quictunnel.cli.inherited_sockets import take_inherited_sockets
from quictunnel.errors import SettingsError

CHILD = """
import json, os
from quictunnel.cli.inherited_sockets import take_inherited_sockets
from quictunnel.errors import SettingsError
os.environ["LISTEN_PID"] = str(os.getpid())
try:
    found = take_inherited_sockets(os.environ)
except SettingsError as exc:
    print(json.dumps(str(exc)))
else:
    sockets = [*([found.link] if found.link else []), *found.outside]
    print(json.dumps([
        [sock.type, sock.getsockname()[1], os.get_inheritable(sock.fileno()), sock.gettimeout()]
        for sock in sockets
    ]))
assert not [name for name in os.environ if name.startswith("LISTEN_")]
"""


@pytest.fixture
def passed():
    """Passes sockets on to a process as systemd does, and returns what it makes of them."""
    opened = []

    def run(*sockets, names="", count=None):
        opened.extend(sockets)
        # Descriptors from 3 on, whatever numbers they have here.
        places = [os.dup(sock.fileno()) for sock in sockets]
        moves = "; ".join(
            f"os.dup2({source}, {3 + index + 100})" for index, source in enumerate(places)
        )
        moves += "; " + "; ".join(
            f"os.dup2({103 + index}, {3 + index})" for index in range(len(places))
        )
        launcher = f"import os, sys; {moves}; os.execv(sys.executable, sys.argv[1:])"
        environment = os.environ | {"LISTEN_FDS": str(len(sockets) if count is None else count)}
        environment["LISTEN_FDNAMES"] = names
        child = [sys.executable, "-c", textwrap.dedent(CHILD)]
        try:
            done = subprocess.run(
                [sys.executable, "-c", launcher, *child],
                env=environment,
                pass_fds=places,
                capture_output=True,
                text=True,
                check=False,
            )
        finally:
            for descriptor in places:
                os.close(descriptor)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    yield run
    for sock in opened:
        sock.close()


def udp():
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    return sock


def tcp(*, listens=True):
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    if listens:
        sock.listen()
    return sock


def port(sock):
    return sock.getsockname()[1]


def test_the_type_of_a_socket_says_what_it_is_for(passed):
    outside, link, other = tcp(), udp(), tcp()
    assert passed(outside, link, other) == [
        [socket.SOCK_DGRAM, port(link), False, 0.0],
        [socket.SOCK_STREAM, port(outside), False, 0.0],
        [socket.SOCK_STREAM, port(other), False, 0.0],
    ]


def test_one_socket_is_enough(passed):
    link = udp()
    assert passed(link) == [[socket.SOCK_DGRAM, port(link), False, 0.0]]


def test_origins_have_one_socket(passed):
    assert "2 UDP sockets" in passed(udp(), udp())


@pytest.mark.parametrize("kind", ["stream", "unix"])
def test_a_socket_that_a_remote_cannot_use(passed, kind):
    if kind == "stream":
        sock = tcp(listens=False)
    else:
        sock, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        other.close()
    sentence = passed(sock, names="mine")
    assert sentence.startswith("the socket 'mine' of the service manager is neither a TCP listener")


@pytest.mark.parametrize("kind", ["without a port", "with one peer"])
def test_a_udp_socket_that_no_origin_reaches(passed, kind):
    if kind == "without a port":
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    else:
        sock = udp()
        sock.connect(sock.getsockname())
    assert "without a port or with one peer only" in passed(sock)


def test_a_descriptor_that_is_not_open(passed):
    sentence = passed(udp(), count=40, names="a")
    assert "cannot be used" in sentence


def test_variables_for_another_process_are_ignored():
    environment = {"LISTEN_PID": "1", "LISTEN_FDS": "2"}
    found = take_inherited_sockets(environment)
    assert (found.link, found.outside) == (None, ())
    assert not environment


@pytest.mark.parametrize("count", ["", "many", "65", "-1", "9" * 5000])
def test_a_count_that_is_none(count):
    with pytest.raises(SettingsError, match="not a number from 0 to 64"):
        take_inherited_sockets({"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": count})
