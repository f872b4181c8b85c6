"""Origin servers that answer with a name of their own, over HTTP/1.1 with and without TLS.

Not a test itself.
"""

from __future__ import annotations

import contextlib
import http.server
import ssl
import threading
from typing import TYPE_CHECKING

from testkit.certificates import write_certificate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Site(http.server.ThreadingHTTPServer):
    """A site on loopback. Each answer names the site and the host of the request."""

    daemon_threads = True

    def __init__(self, name: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.name = name
        self.connections = 0
        """The number of accepted connections so far."""

    @property
    def address(self) -> str:
        """The address, as `quictunnel origin --origin` takes it."""
        return f"127.0.0.1:{self.server_address[1]}"

    def get_request(self):
        """Accept a connection, and count it."""
        accepted = super().get_request()
        self.connections += 1
        return accepted

    def handle_error(self, *_):
        """Ignore clients that leave early."""


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = f"{self.server.name} {self.headers['Host']}\n".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def site(name: str, folder: Path | None = None) -> Iterator[Site]:
    """Run a site in a thread.

    :param folder: makes it speak TLS, with a certificate for `name` in the file `NAME.pem` there.
    """
    with Site(name) as server:
        if folder is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(write_certificate(name, folder))
            server.socket = context.wrap_socket(
                server.socket, server_side=True, do_handshake_on_connect=False
            )
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
