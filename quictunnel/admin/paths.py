"""Paths of the admin interface, for programs that send it requests."""

from __future__ import annotations

ASK_PATH = "/caddy/ask"
"""The path that Caddy's option `ask` names. Caddy adds `?domain=NAME`."""
