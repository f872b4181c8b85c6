"""The certificates of the authorities that the system trusts."""

from __future__ import annotations

import ssl

import certifi


def system_store() -> tuple[str | None, str | None]:
    """Return file and directory of the system's authorities, or Mozilla's if there are none.

    Python from python.org on macOS has none.
    """
    paths = ssl.get_default_verify_paths()
    if not (paths.cafile or paths.capath):
        return certifi.where(), None
    return paths.cafile, paths.capath


def system_tls_context() -> ssl.SSLContext:
    """Return settings of a TLS client that trusts these authorities."""
    file, directory = system_store()
    return ssl.create_default_context(cafile=file, capath=directory)
