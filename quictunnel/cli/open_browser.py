"""Opens a page in the user's browser, if there is one with a window."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import webbrowser


def has_browser() -> bool:
    """Return whether the user sits at a terminal of a desktop that has a browser.

    A browser that runs in the terminal does not count: it would replace what is printed there.
    """
    if not sys.stdout.isatty():
        return False
    has_windows = sys.platform == "darwin" or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY")
    )
    if not has_windows:
        return False
    try:
        webbrowser.get()
    except webbrowser.Error:
        return False
    return True


def open_page(url: str) -> None:
    """Open a page. If that fails, the user has the address that was printed."""

    def work() -> None:
        with contextlib.suppress(OSError, webbrowser.Error):
            webbrowser.open(url)

    # It may wait until the user closes the browser. A daemon thread does not delay the exit.
    threading.Thread(target=work, name="browser", daemon=True).start()
