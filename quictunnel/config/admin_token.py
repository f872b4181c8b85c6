"""The token of the admin interface: a password for its TCP address.

It appears in no repr, no log and no error.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass, field
from pathlib import Path

from quictunnel.config.files import quoted, read_text, warn_if_exposed
from quictunnel.config.secret_strength import MIN_BITS, estimate_bits
from quictunnel.errors import SettingsError
from quictunnel.events import EventSink, discard_event

_FORM = re.compile(r"(?=.*[A-Za-z0-9])[A-Za-z0-9._~+/=-]{16,512}", re.ASCII)
"""The form of a bearer token that an Authorization header can carry (RFC 6750, section 2.1)."""

ADVICE = "'openssl rand -hex 16' makes a good one"


@dataclass(frozen=True, slots=True)
class AdminToken:
    """The token of an admin interface.

    :raises SettingsError: it is malformed or easy to guess. The error does not quote it.
    """

    secret: str = field(repr=False)

    def __post_init__(self) -> None:
        """Check the token."""
        if not _FORM.fullmatch(self.secret):
            raise SettingsError(
                f"an admin token has 16 to 512 of A-Z a-z 0-9 . _ ~ + / = -; {ADVICE}"
            )
        if estimate_bits(self.secret) < MIN_BITS:
            raise SettingsError(f"the admin token is easy to guess; {ADVICE}")

    @classmethod
    def parse(cls, text: str) -> AdminToken:
        """Return the token that a text is, without the space around it.

        :raises SettingsError: as the class.
        """
        return cls(text.strip())

    def is_equal(self, text: str) -> bool:
        """Return whether a text is this token, in a time that does not depend on the text."""
        given = hashlib.sha256(text.encode(errors="surrogatepass")).digest()
        return hmac.compare_digest(given, hashlib.sha256(self.secret.encode()).digest())


def read_admin_token(path: Path, emit: EventSink = discard_event) -> AdminToken:
    """Return the token of a file with one token, `#` comments and empty lines.

    If other users can read the file, an event says so.

    :raises SettingsError: it cannot be read, or it has no token, or more than one.
    """
    text = read_text(path, "the admin token file")
    lines = [line for line in map(str.strip, text.splitlines()) if line and line[0] != "#"]
    if len(lines) != 1:
        raise SettingsError(
            f"the admin token file {quoted(path)} has {len(lines)} lines with a token, not one"
        )
    try:
        token = AdminToken(lines[0])
    except SettingsError as exc:
        raise SettingsError(f"the admin token file {quoted(path)}: {exc}") from exc
    warn_if_exposed(path, emit)
    return token
