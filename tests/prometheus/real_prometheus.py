"""Runs Prometheus and promtool of Debian's package, and queries Prometheus. Not a test itself."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from testkit.programs import PATIENCE, POLL_INTERVAL, Programs, free_port
from testkit.tunnel import LOOPBACK

ROOT = Path(__file__).parents[2]

CONTRIB = ROOT / "contrib" / "prometheus"

PROMETHEUS = shutil.which("prometheus")

PROMTOOL = shutil.which("promtool")


def promtool(*words: object, stdin: str = "") -> str:
    """Run promtool; return what it has printed.

    :raises AssertionError: it has failed.
    """
    done = subprocess.run(
        [PROMTOOL, *map(str, words)],
        input=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def alert_names() -> set[str]:
    """Return the names of the alerts in `contrib`."""
    return set(re.findall(r"- alert: (\w+)", (CONTRIB / "alerts.yml").read_text("utf-8")))


class QueryError(Exception):
    """Prometheus has refused a query. The message has its reason."""


class Prometheus:
    """Prometheus as a program.

    :param config: its configuration file.
    :param programs: starts it, and stops it with the others.
    """

    def __init__(self, config: Path, programs: Programs) -> None:
        self._address = f"{LOOPBACK}:{free_port()}"
        self.program = programs.start(
            "prometheus",
            PROMETHEUS,
            f"--config.file={config}",
            f"--storage.tsdb.path={config.with_name('data')}",
            f"--web.listen-address={self._address}",
        )

    def api(self, path: str, **parameters: str):
        """Return the data of an answer of the API.

        :raises QueryError: the answer is an error.
        """
        url = f"http://{self._address}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as exc:
            raise QueryError(f"{parameters}: {exc.read().decode()}") from None

    def query(self, expression: str) -> list[dict]:
        """Return the series that an expression yields now."""
        return self.api("query", query=expression)["result"]

    def wait_for(self, expression: str, count: int = 1) -> list[dict]:
        """Wait until an expression yields so many series; return them."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                found = self.query(expression)
            except urllib.error.URLError:
                found = []  # it has not started to listen yet
            if len(found) >= count:
                return found
            assert time.monotonic() < deadline, f"{expression}: {found}; {self.program}"
            time.sleep(10 * POLL_INTERVAL)

    def names(self) -> set[str]:
        """Return the names of all series."""
        return set(self.api("label/__name__/values"))
