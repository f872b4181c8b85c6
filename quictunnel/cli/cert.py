"""`quictunnel cert`: create a self-signed certificate and its key."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from quictunnel.cli import options
from quictunnel.cli.output import print_line
from quictunnel.config import files
from quictunnel.config.certificates import format_pin, load_pair
from quictunnel.config.self_signed import certificate_pem, key_pem, make_key, make_self_signed
from quictunnel.config.state import CERTIFICATE_FILE, KEY_FILE, machine_names
from quictunnel.errors import SettingsError

OutDir = Annotated[
    Path,
    options.OPTIONS.option(
        "--out-dir --out DIR",
        f"Directory for {CERTIFICATE_FILE} and the private key {KEY_FILE}.",
        envvar="QUICTUNNEL_CERT_OUT_DIR",
    ),
]

Names = Annotated[
    list[str],
    options.OPTIONS.option(
        "--name NAME",
        "A host name or IP address of the remote; may be given several times.",
        show_default="this machine's host name and localhost",
        envvar="QUICTUNNEL_CERT_NAME",
    ),
]

Force = Annotated[
    bool,
    options.OPTIONS.option(
        "--force",
        "Replace existing files.",
        envvar="QUICTUNNEL_CERT_FORCE",
        metavar="",
    ),
]


def cert(
    *,
    out_dir: OutDir,
    name: Names = [],  # noqa: B006 - typer copies it
    force: Force = False,
) -> None:
    """Create a self-signed certificate for a remote, and print its pin.

    Examples:
      quictunnel cert --out certs
      quictunnel cert --out certs --name vps.example.com --name 203.0.113.7

    You rarely need this: a remote creates its own certificate, and the token authenticates both
    ends. Use it to share one certificate between several remotes, or to let origins check the
    certificate with --pin or --ca.
    """
    cert_path, key_path = out_dir / CERTIFICATE_FILE, out_dir / KEY_FILE
    for path in (cert_path, key_path):
        if not force and os.path.lexists(path):
            raise SettingsError(f"{files.quoted(path)} exists already; --force replaces it")
    key = make_key()
    certificate = make_self_signed(name or machine_names(), key)
    files.make_directory(out_dir, "the directory")
    # The certificate first: a remote that reloads in between keeps its old pair until both match.
    files.replace(cert_path, certificate_pem(certificate), "the certificate", mode=0o644)
    files.replace(key_path, key_pem(key), "the key")
    print_line(f"certificate: {cert_path}")
    print_line(f"key: {key_path}")
    print_line(f"pin: {format_pin(load_pair(cert_path, key_path).fingerprint)}")
