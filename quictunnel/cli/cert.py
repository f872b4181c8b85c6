"""`quictunnel cert`: a self-signed certificate and its key, as files to hand around."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from quictunnel.cli.output import say
from quictunnel.config import files
from quictunnel.config.certificates import format_pin, load_pair
from quictunnel.config.self_signed import certificate_pem, key_pem, make_key, make_self_signed
from quictunnel.config.state import CERTIFICATE_FILE, KEY_FILE, machine_names
from quictunnel.errors import SettingsError

OutDir = Annotated[
    Path,
    typer.Option(
        "--out-dir",
        metavar="DIR",
        envvar="QUICTUNNEL_CERT_OUT_DIR",
        help=f"Where {CERTIFICATE_FILE} and {KEY_FILE} are written.",
    ),
]

Names = Annotated[
    list[str],
    typer.Option(
        "--name",
        metavar="NAME",
        envvar="QUICTUNNEL_CERT_NAME",
        help="A host name or IP address at which origins reach the remote; may be given several "
        "times.",
        show_default="this machine's host name and localhost",
    ),
]

Force = Annotated[
    bool,
    typer.Option(
        "--force",
        metavar="",
        envvar="QUICTUNNEL_CERT_FORCE",
        help="Replace files that are there already.",
    ),
]


def cert(
    *,
    out_dir: OutDir = Path("certs"),
    name: Names = [],  # noqa: B006 - typer copies it
    force: Force = False,
) -> None:
    """Make a self-signed certificate for a remote, and print its pin.

    You do not need this to begin with: a remote makes a certificate for itself, and the token
    proves both ends. It is for those who want to hand one certificate to several remotes, or to
    have origins check it with --pin or --ca.
    """
    cert_path, key_path = out_dir / CERTIFICATE_FILE, out_dir / KEY_FILE
    for path in (cert_path, key_path):
        if not force and os.path.lexists(path):
            raise SettingsError(f"{files.quoted(path)} is there already; --force replaces it")
    key = make_key()
    certificate = make_self_signed(name or machine_names(), key)
    files.make_directory(out_dir, "the directory")
    # The certificate first: a remote that looks in between keeps its old pair until both fit.
    files.replace(cert_path, certificate_pem(certificate), "the certificate", mode=0o644)
    files.replace(key_path, key_pem(key), "the key")
    say(f"certificate: {cert_path}")
    say(f"key: {key_path}")
    say(f"pin: {format_pin(load_pair(cert_path, key_path).fingerprint)}")
