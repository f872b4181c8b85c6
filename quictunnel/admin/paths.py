"""Paths of the admin interface, for programs that send it requests."""

from __future__ import annotations

API = "/api/v1"
"""Where the paths of the API begin."""

LIVE_PATH = "/livez"
"""Whether the role's process works."""

READY_PATH = "/readyz"
"""Whether a new client would be served now."""

LOGIN_PATH = "/login"
"""The form for the token."""
