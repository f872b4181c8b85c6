"""Which terminals belong to a desktop with a browser."""

from __future__ import annotations

import sys
import webbrowser

import pytest

from quictunnel.cli.open_browser import has_browser, open_page


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


async def test_the_page_is_opened(monkeypatch):
    opened = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    await open_page("http://127.0.0.1:1/")
    assert opened == ["http://127.0.0.1:1/"]
