"""Tokens: made, read, and never shown."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import ANY

import pytest

from quictunnel.config.tokens import Token, read_token_file
from quictunnel.errors import SettingsError
from quictunnel.events import SecretExposed

SECRET = "x" * 21 + "SECRET"


def test_a_new_token_comes_back_from_its_text():
    token = Token.new()
    assert Token.parse(f" {token.reveal()}\n") == token
    assert not token.reveal().startswith("-")
    assert token != Token.new()


def test_the_secret_shows_in_no_form_of_text():
    token = Token("laptop", SECRET)
    for text in (repr(token), str(token), f"{token}", f"{[token]}", f"{token!r:>99}"):
        assert "SECRET" not in text
        assert "laptop" in text


@pytest.mark.parametrize(
    "text",
    ["", "laptop", SECRET, f".{SECRET}", f"lap top.{SECRET}", "laptop.SECRETshort",
     f"laptop.{SECRET}.more", f"laptop.{SECRET}é", "l" * 65 + "." + SECRET],
)  # fmt: skip
def test_a_bad_token_is_refused_without_repeating_it(text):
    with pytest.raises(SettingsError) as caught:
        Token.parse(text)
    assert "SECRET" not in str(caught.value)


@pytest.fixture
def token_file(tmp_path):
    path = tmp_path / "tokens"
    path.touch(mode=0o600)
    return path


def test_a_token_file_has_a_token_a_line_and_comments(token_file):
    events = []
    a, b = Token.new(), Token.new()
    token_file.write_text(f"# ours\n\n{a.reveal()}  # laptop\n  {b.reveal()}\r\n")
    assert read_token_file(token_file, events.append) == (a, b)
    assert not events


def test_a_token_that_was_cut_off():
    with pytest.raises(SettingsError, match=r"cut off; 'quictunnel token show' on the remote"):
        Token.parse("laptop.SECRETshort")


def test_a_whole_command_in_a_token_file(token_file):
    token_file.write_text(f"quictunnel origin --token a.{SECRET}\n")
    with pytest.raises(SettingsError, match=r"line 1 is not a token: only id\.secret belongs here"):
        read_token_file(token_file)


def test_a_token_file_names_the_line_that_is_wrong_but_not_its_text(token_file):
    token_file.write_text(f"{Token.new().reveal()}\nnot.SECRET\n")
    with pytest.raises(SettingsError, match="line 2") as caught:
        read_token_file(token_file)
    assert "SECRET" not in str(caught.value)


def test_an_id_that_is_there_twice(token_file):
    token_file.write_text(f"a.{SECRET}\na.{SECRET}2\n")
    with pytest.raises(SettingsError, match="line 2: the id a occurs twice"):
        read_token_file(token_file)


@pytest.mark.parametrize("content", [b"", b"# nothing\n"])
def test_an_empty_token_file(token_file, content):
    token_file.write_bytes(content)
    with pytest.raises(SettingsError, match="contains no token"):
        read_token_file(token_file)


def test_a_token_file_of_garbage(token_file):
    token_file.write_bytes(b"\xff\xfe\x00SECRET")
    with pytest.raises(SettingsError, match="is not a text file"):
        read_token_file(token_file)


def test_a_token_file_that_is_not_there(tmp_path):
    with pytest.raises(SettingsError, match="no such file"):
        read_token_file(tmp_path / "none")


def test_a_token_file_that_is_a_directory(tmp_path):
    with pytest.raises(SettingsError, match="is a directory"):
        read_token_file(tmp_path)


def test_a_token_file_without_end_is_not_read_for_ever():
    with pytest.raises(SettingsError, match="larger than 1 MiB"):
        read_token_file(Path("/dev/zero"))


def test_an_exposed_token_file_is_used_with_a_warning(token_file):
    events = []
    token_file.write_text(f"a.{SECRET}\n")
    token_file.chmod(0o644)
    assert len(read_token_file(token_file, events.append)) == 1
    assert events == [SecretExposed(str(token_file), "0644", ANY)]
