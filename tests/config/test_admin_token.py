"""The token of the admin interface: its form, its strength and its file."""

from __future__ import annotations

import pytest

from quictunnel.config.admin_token import AdminToken, read_admin_token
from quictunnel.errors import SettingsError
from quictunnel.events import SecretExposed

GOOD = "4f1c9ad2e07b35886d1f"


def test_a_token_is_equal_to_its_text_only():
    token = AdminToken.parse(f" {GOOD}\n")
    assert token.is_equal(GOOD)
    assert not any(map(token.is_equal, ("", GOOD[:-1], GOOD + "0", GOOD.upper(), "é", "\ud800")))


def test_a_token_is_not_in_its_repr():
    assert GOOD not in repr(AdminToken(GOOD))


@pytest.mark.parametrize("text", ["", "short", "a" * 15, "x" * 513, f"{GOOD} {GOOD}", f"{GOOD}é"])
def test_a_malformed_token_is_refused_and_not_quoted(text):
    with pytest.raises(SettingsError, match="16 to 512") as caught:
        AdminToken.parse(text)
    assert not text or text not in str(caught.value)


@pytest.mark.parametrize("text", ["a" * 40, "0123456789012345", "abcdefghijklmnop", "-" * 20 + "a"])
def test_a_token_that_is_easy_to_guess_is_refused(text):
    with pytest.raises(SettingsError, match="easy to guess"):
        AdminToken(text)


def test_a_file_has_one_token_and_comments(tmp_path):
    path = tmp_path / "token"
    path.touch(mode=0o600)
    path.write_text(f"# of the NAS\n\n{GOOD}\n")
    events = []
    assert read_admin_token(path, events.append).is_equal(GOOD)
    assert events == []


def test_a_file_that_others_can_read_is_reported(tmp_path):
    path = tmp_path / "token"
    path.write_text(GOOD)
    path.chmod(0o644)
    events = []
    read_admin_token(path, events.append)
    assert [type(event) for event in events] == [SecretExposed]


@pytest.mark.parametrize("content", ["", "# nothing\n", f"{GOOD}\n{GOOD}\n"])
def test_a_file_without_one_token_is_refused(tmp_path, content):
    path = tmp_path / "token"
    path.write_text(content)
    with pytest.raises(SettingsError, match="lines with a token, not one"):
        read_admin_token(path)


def test_a_malformed_token_in_a_file_names_the_file(tmp_path):
    path = tmp_path / "token"
    path.write_text("secret-but-short")
    with pytest.raises(SettingsError, match=r"the admin token file '.*token': the admin token is"):
        read_admin_token(path)
