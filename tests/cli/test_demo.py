"""`quictunnel demo`, the real thing: both roles, a link over loopback, a page through it."""

from __future__ import annotations

import signal
import subprocess
import sys
import urllib.request

import pytest

DEMO = [sys.executable, "-m", "quictunnel", "demo"]


def test_once(monkeypatch):
    monkeypatch.setenv("QUICTUNNEL_ENGINE", "aioquic")
    done = subprocess.run([*DEMO, "--once"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert "connected over QUIC (aioquic); both ends proved the token" in done.stdout
    assert "\nready: http://127.0.0.1:" in done.stdout
    assert "shows the client's own address, 127.0.0.1:" in done.stdout


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_until_a_signal(number):
    with subprocess.Popen(
        DEMO, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        ready = next(line for line in process.stdout if line.startswith("ready: "))
        with urllib.request.urlopen(ready.split()[1]) as answer:
            assert "through the tunnel" in answer.read().decode()
        process.send_signal(number)
        _, err = process.communicate()
    assert (process.returncode, err) == (0, "")
