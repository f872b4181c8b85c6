"""An admin interface without a role: it answers with what a test has set."""

from __future__ import annotations

import http.server
import json
import socketserver
import threading
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

STATUS = {
    "role": "remote",
    "name": "[::]:9001",
    "version": "1.2.3",
    "engine": "quinn",
    "addresses": ["udp [::]:9001", "tcp [::]:9000"],
    "age": 3600.0 * 28,
    "clients": 2,
    "max_clients": 4096,
    "unread_bytes": 0,
    "is_draining": False,
    "is_ready": True,
    "reason": None,
    "pid": 123,
    "time": 1_800_000_000.0,
    "last_event": 2,
    "summary": {
        "links": 1,
        "silent_links": 0,
        "services": 1,
        "services_up": 1,
        "rate_up": 125_000,
        "rate_down": 12_500_000,
    },
    "later": "a member that this version does not know",
}

SERVICE = {
    "name": "web",
    "places": ["www.example.com"],
    "urls": ["https://www.example.com/"],
    "target": None,
    "origins": ["laptop"],
    "state": "up",
    "reason": None,
    "clients": 2,
}

SAMPLE = {
    "time": 1_800_000_000.0,
    "rtt": 0.023,
    "loss": 0.012,
    "silent": False,
    "rate_up": 125_000,
    "rate_down": 12_500_000,
}

LINK = {
    "id": "l1",
    "origin": "laptop",
    "token": "2fdf26f2",
    "agent": "quictunnel/1.2.3",
    "path": "udp",
    "local": "192.0.2.1:9001",
    "peer": "203.0.113.7:50122",
    "age": 90.0,
    "silent_for": None,
    "hold": 900.0,
    "is_draining": False,
    "services": ["web"],
    "clients": 2,
    "rtt": 0.0234,
    "congestion_window": 120_000,
    "mtu": 1452,
    "bytes_sent": 1000,
    "bytes_received": 2000,
    "packets_sent": 100,
    "packets_lost": 1,
    "bytes_lost": 1200,
    "path_reason": None,
    "udp_probe": None,
    "history": [SAMPLE],
    "changes": [],
}

EVENT = {
    "time": "2026-11-22T14:50:06.123Z",
    "level": "warning",
    "event": "link-silent",
    "message": "link silent",
    "origin": "laptop",
    "silent_for": 7.5,
    "is_reminder": False,
}


def client(number: int, **more) -> dict:
    """Return a client."""
    return {
        "id": f"c{number}",
        "address": f"198.51.100.{number % 250}:40000",
        "service": "web",
        "origin": "laptop",
        "link": "l1",
        "state": "open",
        "age": 100.0 - number,
        "bytes_up": 1500,
        "bytes_down": 2_500_000,
        "rate_up": 1250 * number,
        "rate_down": 0,
    } | more


class FakeRole:
    """An admin interface at a Unix socket, or at a port of loopback.

    :param path: the socket's path; None for a port.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.answers: dict[str, object] = {
            "status": STATUS,
            "services": {"services": [SERVICE]},
            "links": {"links": [LINK]},
        }
        """The answers, by resource. A pair has the status as well. Bytes are sent as they are."""
        self.clients = [client(1), client(2)]
        self.streams: list[bytes] = []
        """The streams of events, each for one request. Without any, the connection is closed."""
        self.requests: list[str] = []
        """The method and the target of each request, and then its body."""
        self.token: str | None = None
        """The token that it needs."""
        server = _UnixServer if path is not None else _TcpServer
        address = str(path) if path is not None else ("127.0.0.1", 0)
        self._server = server(address, type("Handler", (_Handler,), {"role": self}))
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        """Its URL, if it has a port."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()

    def answer(self, method: str, resource: str, query: dict[str, str]) -> tuple[int, object]:
        """Return the status and the answer for a request."""
        if resource == "clients":
            return 200, self._page(query)
        if method == "POST":
            _, identity, _ = resource.split("/")
            present = [each for each in self.clients if each["id"] == unquote(identity)]
            if not present:
                return 404, {"error": f"there is no client {unquote(identity)}"}
            self.clients.remove(present[0])
            return 202, {}
        found = self.answers.get(resource, (404, b"Not Found"))
        return found if isinstance(found, tuple) else (200, found)

    def _page(self, query: dict[str, str]) -> dict:
        service = query.get("service")
        chosen = [each for each in self.clients if service in (None, each["service"])]
        keys = {
            "age": lambda each: each["age"],
            "rate": lambda each: each["rate_up"] + each["rate_down"],
            "bytes": lambda each: each["bytes_up"] + each["bytes_down"],
            "service": lambda each: each["service"],
            "address": lambda each: each["address"],
        }
        chosen.sort(key=keys[query["sort"]], reverse=query["descending"] == "1")
        start = int(query["offset"])
        return {"total": len(chosen), "clients": chosen[start : start + int(query["limit"])]}


def stream(*items: dict | str, first: int = 1) -> bytes:
    """Return a stream of comments and of events, which are numbered."""
    text = ""
    number = first
    for item in items:
        if isinstance(item, str):
            text += f": {item}\n\n"
        else:
            text += f"id: {number}\nevent: {item['event']}\ndata: {json.dumps(item)}\n\n"
            number += 1
    return text.encode()


class _Handler(http.server.BaseHTTPRequestHandler):
    role: FakeRole

    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def _answer(self, method: str) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.role.requests.append(f"{method} {self.path} {body.decode()}".rstrip())
        url = urlsplit(self.path)
        resource = url.path.removeprefix("/api/v1/")
        query = {name: values[-1] for name, values in parse_qs(url.query).items()}
        if self.role.token not in (
            None,
            self.headers.get("Authorization", "").removeprefix("Bearer "),
        ):
            self._send(401, b"{}")
        elif resource == "events":
            if self.role.streams:
                self._send(200, self.role.streams.pop(0))
        else:
            status, answer = self.role.answer(method, resource, query)
            content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            self._send(status, content)

    def _send(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass

    def address_string(self) -> str:
        return "client"


class _TcpServer(http.server.ThreadingHTTPServer):
    pass


class _UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
