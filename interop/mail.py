"""Dovecot, whose server speaks first: mail is delivered by LMTP and read by IMAP.

With each installed engine. An idle IMAP client is notified of new mail.
"""

from __future__ import annotations

import contextlib
import email
import email.policy
import imaplib
import os
import pwd
import random
import smtplib
import socket
from email.message import EmailMessage
from pathlib import Path
from typing import TYPE_CHECKING

from interop._commands import WITHIN, Stopwatch
from interop._facts import Facts, program, run_script
from interop._tunnel import engines, tunnel
from interop._waiting import listening
from testkit.programs import MissingError, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZE = 5_000_000
"""Bytes of an attachment."""

PERSON = "person@example.com"

LMTP = Path("/usr/lib/dovecot/lmtp")
"""In Debian's package dovecot-lmtpd."""

CONFIG = """
base_dir = {folder}/run
state_dir = {folder}/state
log_path = /dev/stderr
listen = 127.0.0.1
protocols = imap lmtp
ssl = no
disable_plaintext_auth = no
mail_location = maildir:{folder}/mail/%u
auth_username_format = %Lu
passdb {{
  driver = static
  args = password=word
}}
userdb {{
  driver = static
  args = uid={user.pw_uid} gid={user.pw_gid} home={folder}/mail allow_all_users=yes
}}
service imap-login {{
  inet_listener imap {{
    port = {imap}
  }}
  inet_listener imaps {{
    port = 0
  }}
}}
service lmtp {{
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {lmtp}
  }}
}}
"""


def script(facts: Facts, scratch: Path) -> None:
    """Check the facts."""
    with _dovecot(scratch) as (lmtp, imap):
        for engine in engines():
            person = f"{engine}-{PERSON}"
            inwards, outwards = scratch / f"{engine}-lmtp", scratch / f"{engine}-imap"
            inwards.mkdir()
            outwards.mkdir()
            with (
                tunnel(f"127.0.0.1:{lmtp}", inwards, engine) as entrance,
                tunnel(f"127.0.0.1:{imap}", outwards, engine) as exit_,
            ):
                _who_speaks_first(facts, f"{engine}: LMTP", entrance.outside_port, b"220 ")
                _who_speaks_first(facts, f"{engine}: IMAP", exit_.outside_port, b"* OK ")
                _dialogue(facts, engine, person, entrance.outside_port, exit_.outside_port)


@contextlib.contextmanager
def _dovecot(scratch: Path) -> Iterator[tuple[int, int]]:
    """Run Dovecot; yield its ports for LMTP and IMAP."""
    command = program("dovecot")
    if not LMTP.exists():
        raise MissingError(f"Dovecot's {LMTP} is not installed")
    if os.geteuid():
        raise MissingError("Dovecot gives its parts users of their own, and we are not root")
    folder = scratch / "dovecot"
    mail = folder / "mail"
    mail.mkdir(parents=True)
    scratch.chmod(0o755)
    user = pwd.getpwnam("nobody")  # it delivers no mail to root
    os.chown(mail, user.pw_uid, user.pw_gid)
    lmtp, imap = free_port(), free_port()
    config = folder / "dovecot.conf"
    config.write_text(CONFIG.format(folder=folder, user=user, lmtp=lmtp, imap=imap))
    with listening("dovecot", [command, "-F", "-c", config], scratch, imap):
        yield lmtp, imap


def _who_speaks_first(facts: Facts, name: str, outside: int, greeting: bytes) -> None:
    with socket.create_connection(("127.0.0.1", outside), WITHIN) as client:
        said = client.recv(4096)
    fact = f"{name}: the server greets a client that says nothing"
    facts.equal(fact, said[: len(greeting)], greeting)


def _dialogue(facts: Facts, engine: str, person: str, lmtp: int, imap: int) -> None:
    with _imap(imap, person) as reader:
        exists = int(reader.select()[1][0] or b"0")
        facts.equal(f"{engine}: IMAP: messages at first", exists, 0)
        reader.send(b"idle IDLE\r\n")
        facts.equal(f"{engine}: IMAP: IDLE is accepted", reader.readline()[:2], b"+ ")
        _deliver(lmtp, person, _message("a word", b""))
        told = b""
        while b"EXISTS" not in told:
            told = reader.readline()
        facts.equal(
            f"{engine}: IMAP: an idle client is notified of new mail", told, b"* 1 EXISTS\r\n"
        )
        reader.send(b"DONE\r\n")
        while not told.startswith(b"idle "):
            told = reader.readline()
    attached = random.Random(engine).randbytes(SIZE)
    with Stopwatch() as watch:
        _deliver(lmtp, person, _message("a large one", attached))
    with _imap(imap, person) as reader, Stopwatch() as again:
        reader.select(readonly=True)
        parts = reader.fetch("2", "(BODY.PEEK[])")[1][0]
    assert isinstance(parts, tuple)
    message = email.message_from_bytes(parts[1], policy=email.policy.default)
    found = [part.get_content() for part in message.iter_attachments()]
    rates = f"{watch.rate(SIZE)} in, {again.rate(SIZE)} out"
    fact = f"{engine}: mail: an attachment of 5 MB, {rates}: is unchanged"
    facts.equal(fact, found == [attached], True)


def _message(subject: str, attached: bytes) -> EmailMessage:
    message = EmailMessage()
    message["From"] = "sender@example.com"
    message["To"] = PERSON
    message["Subject"] = subject
    message.set_content("It was here first.\n.\nAnd this is behind a dot.\n")
    if attached:
        message.add_attachment(attached, maintype="application", subtype="octet-stream")
    return message


def _deliver(port: int, person: str, message: EmailMessage) -> None:
    with smtplib.LMTP("127.0.0.1", port, local_hostname="localhost") as sender:
        sender.send_message(message, to_addrs=[person])


@contextlib.contextmanager
def _imap(port: int, person: str) -> Iterator[imaplib.IMAP4]:
    with imaplib.IMAP4("127.0.0.1", port, WITHIN) as client:
        client.login(person, "word")
        yield client


if __name__ == "__main__":
    run_script(script)
