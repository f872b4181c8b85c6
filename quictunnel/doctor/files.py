"""Checks of files: the remote's certificate and state, and the files with secrets."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from quictunnel.config import files
from quictunnel.config.accepted_tokens import accept_tokens, accepts_own, load_state_tokens
from quictunnel.config.certificates import load_pair
from quictunnel.config.secret_strength import weak_secrets
from quictunnel.config.settings import RemoteSettings
from quictunnel.config.state import CERTIFICATE_FILE, KEY_FILE, check_state_directory
from quictunnel.config.unused_policies import unused_policies
from quictunnel.doctor.check import Check, LocalCheck
from quictunnel.doctor.clock import SET_CLOCK
from quictunnel.doctor.event_findings import findings_of
from quictunnel.doctor.finding import Finding, failed, ok, skipped, warning
from quictunnel.errors import SettingsError
from quictunnel.events import Event, PolicyUnused, TokenExpired

RENEWED_BEFORE = 14 * 86_400
"""Seconds before its end at which a certificate should have been renewed. Clients of ACME renew one
of 90 days a month before, and one of 45 days two weeks before."""

MAX_NAMES = 5
"""Names of a certificate that are shown."""


class CertificateFile(LocalCheck):
    """Checks a certificate and its key.

    :param is_checked_by_origins: whether origins may verify it. They cannot verify the one that the
        remote has created, except by its pin.
    """

    title = "certificate"

    def __init__(self, cert: Path, key: Path, *, is_checked_by_origins: bool) -> None:
        self._cert = cert
        self._key = key
        self._is_checked = is_checked_by_origins

    def examine(self) -> list[Finding]:
        """Load the pair, and look at names, dates and modes."""
        try:
            pair = load_pair(self._cert, self._key)
        except SettingsError as exc:
            advice = "correct --cert and --key: a chain in PEM, the leaf first, and its key"
            if not self._is_checked:
                advice = "delete both files to get a new pair; origins with --pin need the new pin"
            return [failed(self.title, str(exc), advice)]
        exposed: list[Event] = []
        files.warn_if_exposed(self._key, exposed.append)
        return [self._judge(pair.leaf), *findings_of(self.title, exposed)]

    def _judge(self, leaf: x509.Certificate) -> Finding:
        now = datetime.fromtimestamp(time.time(), UTC)
        begin, end = leaf.not_valid_before_utc, leaf.not_valid_after_utc
        name = files.quoted(self._cert)
        if now < begin:
            sentence = f"{name} is not valid before {begin:%Y-%m-%d %H:%M} UTC"
            return failed(self.title, sentence, f"check this machine's clock: {SET_CLOCK}")
        level = failed if self._is_checked else warning
        if now > end:
            sentence = f"{name} has expired at {end:%Y-%m-%d %H:%M} UTC"
            return level(self.title, sentence, self._renew())
        if (end - now).total_seconds() < RENEWED_BEFORE and self._is_checked:
            sentence = f"{name} expires at {end:%Y-%m-%d %H:%M} UTC, in {(end - now).days} days"
            return warning(self.title, sentence, self._renew())
        return ok(self.title, f"{name} is for {_names(leaf)}, and valid until {end:%Y-%m-%d}")

    def _renew(self) -> str:
        if self._is_checked:
            return "renew it (certbot renew, or see why it was not renewed); the remote reloads it"
        return "delete it, and the remote creates another one; origins with --pin need the new pin"


class StateDirectory(LocalCheck):
    """Checks that no other user can change the remote's state directory.

    :param directory: the directory, which the remote creates if it is missing.
    """

    title = "state directory"

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def examine(self) -> list[Finding]:
        """Look at owners and modes, also of the directories above."""
        events: list[Event] = []
        directory = files.quoted(self._directory)
        try:
            check_state_directory(self._directory, events.append, is_anothers=True)
            exists = files.exists(self._directory / KEY_FILE, "the key")
        except SettingsError as exc:
            sentence, _, advice = str(exc).partition("; ")
            return [failed(self.title, sentence, advice or "run the doctor as the remote's user")]
        what = "belongs to the remote alone" if exists else "is free for the remote's first start"
        return findings_of(self.title, events) or [ok(self.title, f"{directory} {what}")]


class TokensAndPolicies(LocalCheck):
    """Checks the tokens that the remote accepts, and the policies.

    :param given: what the check of the settings has found: events about options and files.
    :param state: the check of the state directory.
    """

    title = "tokens"

    def __init__(self, settings: RemoteSettings, given: Sequence[Event], state: Check) -> None:
        self.needs = (state,)
        self._settings = settings
        self._given = given

    def examine(self) -> list[Finding]:
        """Load the tokens of the state directory, and judge all of them."""
        settings, events = self._settings, [*self._given]
        try:
            state = load_state_tokens(
                settings.state_dir, with_own=accepts_own(settings.tokens), emit=events.append
            )
            accepted = accept_tokens(settings, state)
        except SettingsError as exc:
            if isinstance(exc.__cause__, PermissionError):
                return [skipped(self.title, str(exc), "run the doctor as the remote's user")]
            return [failed(self.title, str(exc), "correct the file, or restore it from a backup")]
        events += [*weak_secrets(accepted.tokens), *map(TokenExpired, accepted.expired)]
        unused = unused_policies(replace(settings, grants=accepted.grants))
        events += [PolicyUnused(*each) for each in unused.items()]
        if found := findings_of(self.title, events):
            return found
        count = len(accepted.tokens)
        if not count:
            return [ok(self.title, "the remote creates its first token when it starts")]
        return [ok(self.title, "one token is accepted" if count == 1 else f"{count} are accepted")]


class Secrets(LocalCheck):
    """Reports what reading an origin's settings has found.

    :param given: events about options, files and services.
    """

    title = "token and services"

    def __init__(self, given: Sequence[Event]) -> None:
        self._given = given

    def examine(self) -> list[Finding]:
        """Turn the events into findings."""
        return findings_of(self.title, self._given) or [
            ok(self.title, "nothing is wrong with them")
        ]


def certificate_check(settings: RemoteSettings) -> CertificateFile | None:
    """Return the check of the remote's certificate; None if it is yet to create one."""
    if settings.cert is not None and settings.key is not None:
        return CertificateFile(settings.cert, settings.key, is_checked_by_origins=True)
    cert, key = (settings.state_dir / name for name in (CERTIFICATE_FILE, KEY_FILE))
    try:
        exists = files.exists(cert, "the certificate") and files.exists(key, "the key")
    except SettingsError:
        return None  # the check of the state directory says so
    return CertificateFile(cert, key, is_checked_by_origins=False) if exists else None


def _names(leaf: x509.Certificate) -> str:
    """Return the names that a certificate is for."""
    try:
        alternatives = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError):
        return "no name"
    names = [str(name.value) for name in alternatives]
    more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    return ", ".join(names[:MAX_NAMES]) + more
