"""Fuzz target: the first bytes of a TLS client. OpenSSL must read the same server name."""

from __future__ import annotations

import contextlib
import ssl

from fuzz.fuzzer import run
from fuzz.outcomes import outcome_of_any_split
from quictunnel.config.host_names import is_ip_literal, normalise_host
from quictunnel.protocol.client_hello import ClientHelloReader, ServerName


def check(data: bytes) -> None:
    """Check that a result does not depend on the split, and is the name that OpenSSL reads."""
    found = outcome_of_any_split(ClientHelloReader, data)
    if not isinstance(found, ServerName):
        return
    assert found.name is None or normalise_host(found.name) == found.name
    for name in names_for_openssl(data):
        expected = None if name is None or is_ip_literal(name) else normalise_host(name)
        assert found.name == expected, "OpenSSL reads another name"


def names_for_openssl(data: bytes) -> list[str | None]:
    """Return the server name that OpenSSL reads; an empty list if it refuses the ClientHello."""
    names: list[str | None] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)

    def note(_connection: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> int:
        names.append(name)
        return ssl.AlertDescription.ALERT_DESCRIPTION_UNRECOGNIZED_NAME

    context.sni_callback = note
    incoming = ssl.MemoryBIO()
    incoming.write(data)
    connection = context.wrap_bio(incoming, ssl.MemoryBIO(), server_side=True)
    with contextlib.suppress(ssl.SSLError):  # it always fails: `note` refuses every name
        connection.do_handshake()
    return names


if __name__ == "__main__":
    run("fuzz.client_hello")
