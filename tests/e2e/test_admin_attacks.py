"""Web pages of other sites against the admin interface, in Chromium: what they try is refused.

The pages are at names that lead to this machine, so that the browser's own protection of local
networks does not hide a missing check.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import socket
import threading
import urllib.request

import pytest

from testkit.browser import browser
from testkit.programs import PATIENCE, Programs, free_port

RULES = "--host-resolver-rules=MAP *.test 127.0.0.1"
TOKEN = "4f1c9ad2e07b35886d1f"


class _Page(http.server.BaseHTTPRequestHandler):
    """Answers every request with an empty page."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>evil</title><body></body>")

    def log_message(self, *_):
        pass


class _Site(http.server.ThreadingHTTPServer):
    """Remembers its connections. A browser opens some in advance."""

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", port), _Page)
        self._connections: list[socket.socket] = []

    def process_request(self, request, client_address):
        self._connections.append(request)
        super().process_request(request, client_address)

    def disconnect(self) -> None:
        """End all connections."""
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def evil_site(port: int = 0):
    """Serve pages on loopback; provide the port."""
    with _Site(port) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            server.disconnect()
            thread.join()


class Target:
    """A remote with an admin interface on a port of loopback."""

    def __init__(self, programs: Programs) -> None:
        self.port = free_port()
        self._programs = programs

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, *options: object) -> None:
        words = ("--listen", "127.0.0.1:0", "--outside", "127.0.0.1:0", "--admin", self.port)
        state = ("--state-dir", self._programs.scratch / "state")
        self.remote = self._programs.quictunnel("remote", *words, *state, *options)
        self.remote.wait_until_ready()

    def is_untouched(self) -> bool:
        """Return whether no command has reached the role."""
        with urllib.request.urlopen(f"{self.url}/api/v1/status", timeout=PATIENCE) as answer:
            is_draining = json.load(answer)["is_draining"]
        return not is_draining and "drain" not in self.remote.stderr


@pytest.fixture
def target(programs):
    return Target(programs)


@pytest.fixture
def tab(tmp_path):
    with browser(tmp_path, RULES, size=(800, 600)) as tab:
        yield tab


def fetched(path: str, **options: object) -> str:
    """Return a script that fetches a path and returns the status and the text, or the error."""
    return f"""
fetch({json.dumps(path)}, {json.dumps(options)})
  .then(async answer => [answer.status, await answer.text()], error => ["failed", String(error)])
"""


def heard(url: str) -> str:
    """Return a script that listens to a stream of events, and returns what happens first."""
    return f"""
new Promise(done => {{
  const source = new EventSource({json.dumps(url)});
  source.onopen = () => done("open");
  source.onerror = () => done("refused");
}})
"""


LOADED = """
document.readyState === "complete"
 && document.querySelector("form[method=post] [role=alert]")?.textContent !== ""
"""
"""A script that says whether another page than the form without a message is loaded."""

COMMAND = {"method": "POST", "headers": {"Content-Type": "application/json"}, "body": "{}"}


def test_a_page_whose_name_is_rebound_to_this_machine_reads_and_changes_nothing(target, tab):
    page = f"http://evil.test:{target.port}/"
    with evil_site(target.port):
        tab.open(page)
        assert tab.run("document.title") == "evil"
    target.start()  # from now on, the page's own host and port are those of the admin interface
    assert tab.run("location.href") == page
    status, text = tab.run(fetched("/api/v1/status"))
    assert status == 421
    assert "engine" not in text
    assert tab.run(fetched("/api/v1/drain", **COMMAND))[0] == 421
    assert tab.run(heard("/api/v1/events?recent=100")) == "refused"
    assert target.is_untouched()


def test_a_page_of_another_site_gives_no_command(target, tab):
    target.start()
    with evil_site() as port:
        tab.open(f"http://evil.test:{port}/")
        drain = f"{target.url}/api/v1/drain"
        simple = {"method": "POST", "mode": "no-cors", "body": "{}"}
        tab.run(fetched(drain, **simple))
        assert tab.run(fetched(drain, **COMMAND))[0] == "failed"
        assert tab.run(f"navigator.sendBeacon({json.dumps(drain)}, '{{}}')") is True
        tab.run(f"""
new Promise(loaded => {{
  const frame = document.createElement("iframe");
  frame.name = "target";
  document.body.append(frame);
  const form = document.createElement("form");
  form.method = "POST";
  form.enctype = "text/plain";
  form.target = "target";
  form.action = {json.dumps(drain)};
  const input = document.createElement("input");
  input.name = '{{"x":"';
  input.value = '"}}';
  form.append(input);
  document.body.append(form);
  frame.onload = loaded;
  form.submit();
}})
""")
        assert target.is_untouched()


def test_a_page_of_another_site_reads_nothing(target, tab):
    target.start()
    with evil_site() as port:
        tab.open(f"http://evil.test:{port}/")
        assert tab.run(heard(f"{target.url}/api/v1/events?recent=100")) == "refused"
        assert tab.run(fetched(f"{target.url}/api/v1/status"))[0] == "failed"
        for tag in ("script", "img"):
            assert (
                tab.run(f"""
new Promise(done => {{
  const element = document.createElement("{tag}");
  element.onload = () => done("loaded");
  element.onerror = () => done("refused");
  element.src = "{target.url}/api/v1/status";
  document.body.append(element);
}})
""")
                == "refused"
            )


def test_a_page_on_another_port_of_the_same_host_is_another_site(target, tab):
    target.start()
    with evil_site() as port:
        tab.open(f"http://127.0.0.1:{port}/")
        assert tab.run(heard(f"{target.url}/api/v1/events?recent=100")) == "refused"
        simple = {"method": "POST", "mode": "no-cors", "body": "{}"}
        tab.run(fetched(f"{target.url}/api/v1/drain", **simple))
        assert target.is_untouched()


def test_the_interfaces_own_pages_read_and_give_commands(target, tab):
    target.start()
    tab.open(f"{target.url}/livez")
    assert tab.run(fetched("/api/v1/status"))[0] == 200
    assert tab.run(heard("/api/v1/events?recent=100")) == "open"
    assert tab.run(fetched("/api/v1/drain", **COMMAND)) == [202, "{}"]
    assert target.remote.wait() == 0


def test_a_person_logs_in_with_the_form(target, tab, tmp_path):
    file = tmp_path / "admin-token"
    file.touch(mode=0o600)
    file.write_text(TOKEN)
    target.start("--admin-token-file", file)
    tab.open(f"{target.url}/")
    assert tab.run("location.pathname") == "/login"
    assert tab.run(fetched("/api/v1/status"))[0] == 401
    for token, path in (("wrong", "/login"), (TOKEN, "/")):
        tab.run(f"""
document.querySelector("#token").value = {json.dumps(token)};
document.querySelector("button").click();
""")
        tab.wait_for(f"{LOADED} && location.pathname === {json.dumps(path)}")
    assert tab.run("document.cookie") == ""
    assert tab.run(fetched("/api/v1/status"))[0] == 200
    assert tab.run(fetched("/api/v1/reload", **COMMAND))[0] == 409
