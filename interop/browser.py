"""Headless Chromium in front of Caddy and the tunnel: a page of 100 pictures and a WebSocket.

Over HTTP/2 and HTTP/3, with each installed engine. All pictures are present according to the page,
to the network events and to the colours in a screenshot. The WebSocket echoes.

    python -m interop.browser [--keep FOLDER]    (keeps the screenshots there)
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from interop import _page
from interop._caddy import caddy, example
from interop._facts import Facts, run_script
from interop._tunnel import engines, tunnel
from testkit.browser import browser, find
from testkit.programs import running

if TYPE_CHECKING:
    from interop._caddy import Caddy
    from testkit.browser import Tab

WINDOW = (_page.SIDE, _page.SIDE + _page.LINE)
"""The size of the page in pixels."""

FINISHED = """
new Promise(loaded =>
    document.readyState === "complete" ? loaded() : addEventListener("load", loaded))
  .then(() => window.finished)
"""
"""A script that waits for the page's report."""


def script(facts: Facts, scratch: Path) -> None:
    """Check the facts."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--keep", type=Path, help="a folder for the screenshots")
    keep = parser.parse_args().keep
    find()
    with running("site", [sys.executable, "-m", "interop._site"], scratch) as site:
        server = f"127.0.0.1:{site.ready.split()[1]}"
        for engine in engines():
            folder = scratch / engine
            folder.mkdir()
            passed_on = ("--proxy-protocol", "v2")
            taken = ("--accept-proxy-protocol",)
            with (
                tunnel(server, folder, engine, *passed_on, at_remote=taken) as standing,
                caddy(example("localhost", standing.outside_port), folder, "localhost") as front,
            ):
                for version in ("h2", "h3"):
                    picture = _visit(facts, folder, front, version, engine)
                    if keep:
                        (keep / f"{engine}-{version}.png").write_bytes(picture)


def _visit(facts: Facts, scratch: Path, front: Caddy, version: str, engine: str) -> bytes:
    """Open the page, check it, and return a screenshot."""
    folder = scratch / version
    folder.mkdir()
    site = f"localhost:{front.port}"
    # By default a browser uses HTTP/2 first, and HTTP/3 once a response has advertised it.
    quic = {"h2": "--disable-quic", "h3": f"--origin-to-force-quic-on={site}"}
    who = f"{engine}, {version}"
    with browser(folder, quic[version], size=WINDOW, issuer=front.issuer) as tab:
        tab.open(f"https://{site}/")
        done = tab.run(FINISHED)
        facts.equal(f"{who}: pictures according to the page", done["images"], _page.COUNT)
        facts.equal(f"{who}: echoes of the WebSocket", len(done["echoes"]), 10)
        facts.equal(f"{who}: the page's message", done["text"], "WebSocket: message 9")
        png = tab.picture()
        _network(facts, tab, who, version)
    rows = _page.pixels(png)
    right = sum(rows[y][3 * x : 3 * x + 3] == bytes(rgb) for x, y, rgb in _page.centres())
    facts.equal(f"{who}: pictures in the screenshot, by their colours", right, _page.COUNT)
    below = rows[_page.SIDE :]
    green = below[0][:3] == below[-1][-3:] == bytes(_page.GREEN)
    facts.equal(f"{who}: the line below them is green", green, True)
    written = any(b"\xff\xff\xff" in row for row in below)
    facts.equal(f"{who}: it has white text", written, True)
    return png


def _network(facts: Facts, tab: Tab, who: str, version: str) -> None:
    """Check the browser's network events."""
    answers = [
        event["params"]["response"]
        for event in tab.events
        if event.get("method") == "Network.responseReceived"
    ]
    kinds = Counter((a["status"], a["protocol"]) for a in answers if a["url"].endswith(".png"))
    facts.equal(f"{who}: pictures by status and protocol", kinds, {(200, version): _page.COUNT})
    failed = [e for e in tab.events if e.get("method") == "Network.loadingFailed"]
    facts.equal(f"{who}: requests that failed", len(failed), 0)


if __name__ == "__main__":
    run_script(script)
