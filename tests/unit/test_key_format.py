"""What an API key looks like is what docs/accounts.md tells those who look for leaked keys."""

import re
import string
import zlib
from pathlib import Path
from typing import Final

import pytest

from services.api.auth.key_format import is_key, new_key

ACCOUNTS = Path(__file__).parents[2] / "docs" / "accounts.md"
DIGITS: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase
KNOWN: Final = "ck_0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefg3CXCIf"
"""Its end was worked out by another program: a key stays one in all releases."""


def in_base62(text: str) -> int:
    """The number that some characters stand for."""
    number = 0
    for character in text:
        number = number * 62 + DIGITS.index(character)
    return number


def test_a_key_is_found_by_the_documented_expression_and_its_checksum() -> None:
    (expression,) = re.findall(r"^(ck_\[.*)$", ACCOUNTS.read_text(encoding="utf-8"), re.MULTILINE)
    for key in (new_key(), new_key(), KNOWN):
        assert re.fullmatch(expression, key, re.ASCII)
        assert in_base62(key[-6:]) == zlib.crc32(key[:-6].encode())
        assert is_key(key)


def test_no_two_keys_are_the_same_and_each_has_256_bits() -> None:
    keys = {new_key() for _ in range(100)}
    assert len(keys) == 100
    numbers = [in_base62(key[3:46]) for key in keys]
    assert all(number < 2**256 for number in numbers)
    assert all(any(number >> bit & 1 for number in numbers) for bit in range(256))


def test_a_key_with_one_wrong_character_is_none() -> None:
    key = new_key()
    for place, right in enumerate(key):
        wrong = "x" if right != "x" else "y"
        assert not is_key(key[:place] + wrong + key[place + 1 :])


@pytest.mark.parametrize(
    "text",
    ["", "ck_", "ck", KNOWN[:-1], f"{KNOWN}0", f"{KNOWN}\n", f" {KNOWN}", KNOWN.upper(), KNOWN[3:], "ck_" + "0" * 49,
     f"{KNOWN[:-1]}٣", "ck_" + "\0" * 49, "ck_" + "x" * 10_000],
)  # fmt: skip
def test_what_is_no_key_of_ours_is_none(text: str) -> None:
    assert not is_key(text)
