"""The errors for addresses that cannot be listened on."""

from __future__ import annotations

import errno
import os
import socket

import pytest

from quictunnel.config.addresses import HostPort
from quictunnel.config.listen_errors import listen_error


@pytest.mark.parametrize(
    ("code", "port", "why"),
    [
        (
            errno.EADDRINUSE,
            9000,
            "another program listens there already, perhaps another remote; "
            "--outside PORT selects another port",
        ),
        (errno.EADDRNOTAVAIL, 9000, "this machine does not have that address"),
        (errno.EACCES, 9000, "this user may not use that port"),
        (
            errno.EACCES,
            80,
            "this user may not use that port: ports below 1024 need root or CAP_NET_BIND_SERVICE",
        ),
        (errno.EAFNOSUPPORT, 9000, os.strerror(errno.EAFNOSUPPORT)),
    ],
)
def test_the_system_s_no_in_words(code, port, why):
    error = listen_error("tcp", HostPort("::", port), OSError(code, os.strerror(code)))
    assert str(error) == f"cannot listen on tcp [::]:{port}: {why}"


def test_the_option_that_sets_the_address_is_named():
    taken = OSError(errno.EADDRINUSE, "")
    assert "; --tls PORT selects" in str(listen_error("tcp", HostPort("::", 443), taken, "--tls"))


def test_a_name_that_leads_nowhere():
    unknown = socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    error = listen_error("udp", HostPort("vps.example", 1), unknown)
    assert str(error) == "cannot listen on udp vps.example:1: Name or service not known"
