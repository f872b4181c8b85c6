from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quictunnel.protocol.proof import check, prove

SECRET = "s3cret-s3cret-s3cret-s3cret"
EXPORTER = bytes(range(32))


def test_a_known_proof():
    # printf 'origin<bytes 0 to 31>' | openssl dgst -sha256 -hmac s3cret-s3cret-s3cret-s3cret
    assert (
        prove(SECRET, "origin", EXPORTER)
        == "b38306507839d58af173d9f3ca64cb251498dee1a329fe3afad4f9fab4c15c46"
    )


@pytest.mark.parametrize("role", ["origin", "remote"])
def test_each_end_can_check_the_others_proof(role):
    assert check(SECRET, role, EXPORTER, prove(SECRET, role, EXPORTER))


def test_a_proof_is_of_no_use_to_the_other_role():
    assert not check(SECRET, "remote", EXPORTER, prove(SECRET, "origin", EXPORTER))


def test_a_proof_is_of_no_use_in_another_session():
    assert not check(SECRET, "origin", bytes(32), prove(SECRET, "origin", EXPORTER))


def test_a_proof_is_of_no_use_with_another_secret():
    assert not check(SECRET + "!", "origin", EXPORTER, prove(SECRET, "origin", EXPORTER))


@given(st.text(st.characters(), max_size=80))
def test_anything_else_is_a_wrong_proof_and_no_error(text):
    assert not check(SECRET, "origin", EXPORTER, text)


@pytest.mark.parametrize("text", ["", "\ud800", "ż" * 64])
def test_odd_texts_are_wrong_proofs(text):
    assert not check(SECRET, "origin", EXPORTER, text)


@pytest.mark.parametrize(
    ("secret", "exporter"), [("", EXPORTER), (SECRET, b""), (SECRET, bytes(31))]
)
def test_a_proof_over_nothing_is_a_mistake_of_the_caller(secret, exporter):
    with pytest.raises(ValueError, match="proof"):
        prove(secret, "origin", exporter)
