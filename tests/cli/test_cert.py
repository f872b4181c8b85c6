"""`quictunnel cert`."""

from __future__ import annotations

import stat
from pathlib import Path

from cryptography import x509

from quictunnel.cli.main import invoke
from quictunnel.config.certificates import load_pair, parse_pin


def names(pair):
    alternatives = pair.leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [str(name.value) for name in alternatives]


def test_files_and_pin(capsys):
    assert invoke(["cert", "--out", "certs"]) == 0
    cert, key = Path("certs/server.pem"), Path("certs/server.key")
    pair = load_pair(cert, key)
    first, second, third = capsys.readouterr().out.splitlines()
    assert (first, second) == (f"certificate: {cert}", f"key: {key}")
    assert parse_pin(third.removeprefix("pin: ")) == pair.fingerprint
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert "localhost" in names(pair)


def test_names_and_place(tmp_path):
    out = tmp_path / "there"
    options = ["--out-dir", str(out), "--name", "example.com", "--name", "192.0.2.1"]
    assert invoke(["cert", *options]) == 0
    assert names(load_pair(out / "server.pem", out / "server.key")) == ["example.com", "192.0.2.1"]


def test_nothing_is_replaced_unless_forced(capsys):
    assert invoke(["cert", "--out", "certs"]) == 0
    before = Path("certs/server.key").read_bytes()
    assert invoke(["cert", "--out", "certs"]) == 2
    assert "--force replaces it" in capsys.readouterr().err
    assert Path("certs/server.key").read_bytes() == before
    assert invoke(["cert", "--out", "certs", "--force"]) == 0
    assert Path("certs/server.key").read_bytes() != before
    load_pair(Path("certs/server.pem"), Path("certs/server.key"))


def test_a_malformed_name_leaves_nothing_behind():
    assert invoke(["cert", "--out", "certs", "--name", ""]) == 2
    assert not Path("certs").exists()


def test_no_key_is_written_unasked(tmp_path, capsys):
    assert invoke(["cert"]) == 2
    assert "Missing option '--out-dir' / '--out'" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
