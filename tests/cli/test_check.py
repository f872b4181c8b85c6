"""`quictunnel check`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from state_directory import SECRET, add

from quictunnel.cli.main import invoke

TOKEN = f"laptop.{SECRET}"
ORIGIN = "remote = 'vps'\n[service.web]\nto = 80\n"


@pytest.fixture
def check(capfd):
    """Checks a file with this content; returns the exit code and the two outputs."""

    def run(content, *words, name="c.toml"):
        path = Path(name)
        path.touch(mode=0o600)
        path.write_text(content)
        code = invoke(["check", *words, name])
        return (code, *capfd.readouterr())

    return run


@pytest.mark.parametrize(
    ("content", "result"),
    [
        ("", "ok"),
        ("listen = 9001", "ok"),
        (ORIGIN, "ok: 1 service"),
        (f"{ORIGIN}[service.ssh]\nto = 22\nport = 2222\n", "ok: 2 services"),
        ("remote = 'vps'\norigin = 8000", "ok: 1 service"),
    ],
)
def test_a_valid_file(check, content, result):
    assert check(content) == (0, f"c.toml: {result}\n", "")
    assert os.listdir() == ["c.toml"]  # no state directory


@pytest.mark.parametrize(
    ("content", "words", "sentence"),
    [
        ("hold = 'soon'", [], "quictunnel: c.toml: hold: 'soon' is not a duration"),
        (
            "engine = 'x'",
            [],
            "quictunnel remote: c.toml: engine: 'x' is not one of 'auto', 'aioquic', 'quinn' "
            "(see 'quictunnel remote --help')",
        ),
        (
            "[service.web]\nto = 80",
            [],
            "quictunnel origin: c.toml: 'remote' is missing (see 'quictunnel origin --help')",
        ),
        ("hold =", [], "quictunnel: c.toml: not TOML: invalid value (at "),
        ("token-file = 'none'", [], "quictunnel: c.toml: token-file: the token file 'none' "),
        ("cert = 'a'\nkey = 'b'", [], "quictunnel: c.toml: the certificate 'a' cannot be read"),
        ("remote = 'vps'\nlisten = 9", [], "quictunnel: c.toml: unknown key 'listen'; "),
        (ORIGIN, ["--role", "remote"], "quictunnel: c.toml: unknown key 'service': services"),
        ("hold = 9", ["--role", "origin"], "quictunnel origin: c.toml: 'remote' is missing"),
    ],
)
def test_an_invalid_file(check, content, words, sentence):
    code, out, err = check(content, *words)
    assert (code, out) == (2, "")
    assert err.startswith(sentence)
    assert err.count("\n") == 1


def test_a_missing_file(capsys):
    assert invoke(["check", "none"]) == 2
    assert "the configuration file 'none' cannot be read" in capsys.readouterr().err


def test_warnings_are_logged_as_the_command_logs_them(check):
    Path("c.toml").touch()
    Path("c.toml").chmod(0o644)
    code, out, err = check(f"token = '{TOKEN}'")
    assert (code, out) == (0, "c.toml: ok\n")
    assert "secret readable by other users" in err
    assert "SECRET" not in err


def test_an_expired_token_is_a_warning(check):
    table = f"[token.old]\nsecret = '{SECRET}'\nexpires = "
    assert check(f"{table}2020-01-01") == (0, "warning: token.old has expired\nc.toml: ok\n", "")
    assert check(f"{table}2999-01-01") == (0, "c.toml: ok\n", "")


WEAK = (
    "warning: the secret of token old is easy to guess: it has about 42 bits, and should have 80; "
    "'quictunnel token new' creates a good one\n"
)


@pytest.mark.parametrize(
    ("text", "ok"),
    [
        ("token = 'old.passwordpasswordpassword'", "c.toml: ok\n"),
        ("[token.old]\nsecret = 'passwordpasswordpassword'", "c.toml: ok\n"),
        (f"token = 'old.passwordpasswordpassword'\n{ORIGIN}", "c.toml: ok: 1 service\n"),
    ],
)
def test_a_secret_that_is_easy_to_guess_is_a_warning(check, text, ok):
    assert check(text) == (0, f"{WEAK}{ok}", "")


def test_a_policy_for_no_place_is_a_warning(check):
    code, out, err = check("ports = 20432\n[policy.20423]\nmax-clients = 1\n")
    assert (code, err) == (0, "")
    assert out == (
        "warning: policy.20423 is for no place: neither 'ports' nor a token allows port 20423\n"
        "c.toml: ok\n"
    )
    add("nas", ports=["20423"])
    assert check("[policy.20423]\nmax-clients = 1\n") == (0, "c.toml: ok\n", "")


def test_the_tokens_of_the_state_directory_count(check):
    add("nas")
    assert check("") == (0, "c.toml: ok\n", "")
    code, out, err = check("[token.nas]\nports = 2222\n")
    assert (code, out) == (2, "")
    assert "two tokens have the id nas: one is in" in err
    assert check("[token.x]\nports = 2222\n")[2].startswith(
        "quictunnel: c.toml: token.x: no token has this id"
    )
    Path("state/tokens.toml").write_text("garbage")
    assert "tokens.toml: not TOML: " in check("")[2]


def test_rights_need_a_token_before_the_first_start_as_well(check, capfd):
    sentence = (
        "quictunnel: c.toml: token.x: no token has this id; set 'secret' or 'secret-file'; "
        "'quictunnel token list' shows the ids\n"
    )
    assert check("[token.x]\nports = 2222\n") == (2, "", sentence)
    assert os.listdir() == ["c.toml"]
    assert invoke(["remote", "--config", "c.toml", "--log-level", "error"]) == 2
    assert capfd.readouterr().err == sentence


def test_rights_of_the_token_that_the_remote_has_created(check, own):
    assert check(f"[token.{own.id}]\nports = 2222\n") == (0, "c.toml: ok\n", "")


def test_a_state_directory_that_this_user_may_not_read_is_a_warning(check, monkeypatch):
    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.lstat", refuse)
    code, out, err = check("")
    assert (code, err) == (0, "")
    warning, ok = out.splitlines()
    assert warning.startswith("warning: the file of added tokens '")
    assert warning.endswith(
        "permission denied, so the tokens in the state directory are not checked"
    )
    assert ok == "c.toml: ok"
    assert check("[token.x]\nports = 2222\n")[0] == 0  # the directory may have the token


def test_the_name_of_the_file_is_escaped(check):
    code, out, _ = check("", name="\x1bc")
    assert (code, out) == (0, "\\x1bc: ok\n")


def test_a_variable_for_another_file_has_no_influence(check, monkeypatch):
    monkeypatch.setenv("QUICTUNNEL_CONFIG", "none")
    assert check("hold = '1h'") == (0, "c.toml: ok\n", "")


def installed(*words, **options):
    program = Path(sys.executable).with_name("quictunnel")
    return subprocess.run(
        [program, *words], capture_output=True, text=True, timeout=30, check=False, **options
    )


def test_the_installed_program():
    Path("origin.toml").write_text(ORIGIN)
    ended = installed("check", "origin.toml")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "origin.toml: ok: 1 service\n", "")
    Path("origin.toml").write_text("remote = 'vps'\n[service.web]\nport = 80")
    ended = installed("check", "origin.toml")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("quictunnel: origin.toml: service.web: 'to' is missing")


def test_a_file_from_a_pipe():
    ended = installed("check", "/dev/stdin", input=ORIGIN)
    assert (ended.returncode, ended.stdout) == (0, "/dev/stdin: ok: 1 service\n")


DOCS = Path(__file__).parents[2] / "docs"
PAGES = (DOCS / "reference" / "configuration.md", DOCS / "how-to" / "host-names.md")
EXAMPLES = [
    example
    for page in PAGES
    for example in re.findall(r"```toml\n# (\S+)\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
]


def test_the_examples_of_the_documentation(check):
    results = []
    secret = TOKEN.partition(".")[2]
    files = {"token": TOKEN, "tokens": TOKEN, "nas.secret": secret, "laptop.secret": secret}
    files["offenders"] = "192.0.2.7\n"
    for path, text in files.items():  # the files that the examples name
        Path(path).touch(mode=0o600)
        Path(path).write_text(text)
    for name, content in EXAMPLES:
        code, out, err = check(content, name=name)
        assert (code, err) == (0, "")
        results.append(out)
    assert results == [
        "origin.toml: ok: 4 services\n",
        "origin.toml: ok: 1 service\n",
        *["remote.toml: ok\n"] * 4,
        "origin.toml: ok: 2 services\n",
        "origin.toml: ok: 2 services\n",
    ]
