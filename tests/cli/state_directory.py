"""The state directory and the files of a remote, for the tests of `quictunnel token`."""

from __future__ import annotations

from pathlib import Path

from quictunnel.config.token_store import TokenStore
from quictunnel.config.tokens import Token

STATE = Path("state")
"""The default state directory, below the folder of the test."""

SECRET = "SECRET-7Kd0vQ2mXw9bTz4LpRfA"

OTHER_USER = (
    "; if the remote runs as another user, run this command as that user or give its --state-dir"
)
"""The advice for a state directory that may be the wrong one."""

CONFIG = f"""
token = ["phone.{SECRET}"]
token-file = "tokens"
"""
"""A remote's file with tokens in a list and in another file."""


def add(token_id: str = "nas", **rights) -> Token:
    """Add a token to the state directory."""
    token = Token(token_id, SECRET)
    TokenStore(STATE).add(token, {key.replace("_", "-"): value for key, value in rights.items()})
    return token


def head(token: Token) -> str:
    """Return the beginning of a command for an origin."""
    return f"QUICTUNNEL_TOKEN={token.reveal()} quictunnel origin --remote example.com:9001 --origin"


def write(name: str, text: str) -> str:
    """Write a file that only its owner can read; return its name."""
    Path(name).touch(mode=0o600)
    Path(name).write_text(text)
    return name
