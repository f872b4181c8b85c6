"""Which terminals belong to a desktop with a browser."""

from __future__ import annotations

import queue
import sys
import threading
import webbrowser

import pytest

from quictunnel.cli.open_browser import has_browser, open_page
from testkit.programs import PATIENCE


@pytest.fixture
def desktop(monkeypatch):
    """A terminal of a desktop with a browser."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(webbrowser, "get", lambda: None)
    return monkeypatch


@pytest.mark.usefixtures("desktop")
def test_a_terminal_of_a_desktop_has_a_browser():
    assert has_browser()


def test_a_pipe_has_none(desktop):
    desktop.setattr(sys.stdout, "isatty", lambda: False, raising=False)
    assert not has_browser()


def test_a_console_has_none(desktop):
    desktop.delenv("DISPLAY")
    desktop.delenv("WAYLAND_DISPLAY", raising=False)
    assert not has_browser()


def test_a_desktop_without_a_browser_has_none(desktop):
    def get() -> None:
        raise webbrowser.Error("could not locate runnable browser")

    desktop.setattr(webbrowser, "get", get)
    assert not has_browser()


def test_the_page_is_opened(monkeypatch):
    opened = queue.SimpleQueue()
    monkeypatch.setattr(webbrowser, "open", opened.put)
    open_page("http://127.0.0.1:1/")
    assert opened.get(timeout=PATIENCE) == "http://127.0.0.1:1/"


def test_a_browser_that_does_not_return_delays_nothing(monkeypatch):
    threads, closed = queue.SimpleQueue(), threading.Event()

    def browse(_: str) -> None:
        threads.put(threading.current_thread())
        closed.wait(PATIENCE)

    monkeypatch.setattr(webbrowser, "open", browse)
    open_page("http://127.0.0.1:1/")
    thread = threads.get(timeout=PATIENCE)
    assert thread.daemon
    closed.set()
    thread.join(PATIENCE)
