"""Refresh tokens: their form, and what a used one keeps."""

import re

import pytest
from cryptography.fernet import InvalidToken

from services.api.auth.refresh_tokens import new_family, read_refresh_token


def test_a_token_is_read_as_it_was_made() -> None:
    token = new_family()
    assert re.fullmatch("crt_[A-Za-z0-9_-]{75}", token.text())
    assert read_refresh_token(token.text()) == token


def test_a_successor_is_another_token_of_the_same_family() -> None:
    token = new_family()
    successor = token.successor()
    assert (successor.family, successor.family_hash) == (token.family, token.family_hash)
    assert successor.own != token.own
    assert successor.own_hash != token.own_hash
    assert new_family().family != token.family


def test_only_the_token_itself_opens_what_it_has_sealed() -> None:
    token = new_family()
    successor = token.successor()
    kept = token.seal(successor)
    assert token.unseal(kept) == successor
    assert successor.own.encode() not in kept
    for other in (successor, new_family(), token._replace(own=successor.own)):
        with pytest.raises(InvalidToken):
            other.unseal(kept)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "crt_",
        "x" * 79,
        "crt_" + "A" * 74,
        "crt_" + "A" * 76,
        "crt_" + "A" * 74 + "é",
        "crt_" + "A" * 75 + "\n",
        "\0",
    ],
)
def test_what_is_no_token_is_none(text: str) -> None:
    assert read_refresh_token(text) is None
