"""Codes of the second factor: those of the app, and recovery codes."""

import hashlib
from urllib.parse import parse_qs, urlsplit

import pyotp
import pytest

from services.api.auth.recovery_codes import ALPHABET, CODES, SYMBOLS, hash_code, new_codes
from services.api.auth.totp import find_step, new_secret, read_code, uri_of

RFC_SECRET = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
"""The secret of RFC 6238, appendix B, for SHA-1."""
NOW = 1_700_000_010.0
STEP = int(NOW) // 30


def code_at(secret: str, step: int) -> str:
    """The code of a step."""
    return pyotp.TOTP(secret).at(step * 30)


@pytest.mark.parametrize(("now", "code"), [(59, "287082"), (1111111109, "081804"), (2000000000, "279037")])
def test_a_code_is_that_of_the_standard(now: int, code: str) -> None:
    assert find_step(RFC_SECRET, code, None, now=now) == now // 30


def test_a_code_is_taken_a_step_before_and_after_its_time_and_no_longer() -> None:
    secret = new_secret()
    taken = [find_step(secret, code_at(secret, STEP + away), None, now=NOW) for away in (-2, -1, 0, 1, 2)]
    assert taken == [None, STEP - 1, STEP, STEP + 1, None]


def test_neither_a_code_nor_an_earlier_one_is_taken_again() -> None:
    secret = new_secret()
    assert find_step(secret, code_at(secret, STEP), STEP - 1, now=NOW) == STEP
    assert find_step(secret, code_at(secret, STEP), STEP, now=NOW) is None
    assert find_step(secret, code_at(secret, STEP - 1), STEP, now=NOW) is None


def test_a_secret_has_160_random_bits() -> None:
    assert len({new_secret() for _ in range(100)}) == 100
    assert len(pyotp.TOTP(new_secret()).byte_secret()) == 20


def test_the_uri_tells_an_app_the_secret_and_whose_it_is() -> None:
    uri = urlsplit(uri_of(RFC_SECRET, "ada+1@example.com"))
    assert (uri.scheme, uri.netloc, uri.path) == ("otpauth", "totp", "/CortexAI:ada%2B1%40example.com")
    assert parse_qs(uri.query) == {"secret": [RFC_SECRET], "issuer": ["CortexAI"]}


@pytest.mark.parametrize(
    ("typed", "code"),
    [("123456", "123456"), (" 123 456 ", "123456"), ("123-456", "123456"), ("１２３４５６", "123456"), ("12345", None),
     ("1234567", None), ("12345a", None), ("١٢٣٤٥٦", None), ("123456\n", None), ("", None)],
)  # fmt: skip
def test_six_digits_are_a_code_of_the_app(typed: str, code: str | None) -> None:
    assert read_code(typed) == code


def test_recovery_codes_are_long_enough_for_a_plain_hash() -> None:
    """112 bits at least: OWASP ASVS 5, V6.5.2."""
    codes = new_codes()
    assert len(set(codes)) == CODES == 10
    assert len(ALPHABET) == len(set(ALPHABET)) == 32
    assert all(len(code.replace("-", "")) == SYMBOLS for code in codes)
    assert SYMBOLS * 5 >= 112


def test_a_recovery_code_is_the_same_however_a_person_types_it() -> None:
    code = "10AB-CDEF-GHJK-MNPQ-RSTV-WXYZ"
    kept = hashlib.sha256(code.replace("-", "").encode()).digest()
    for typed in (code, code.lower(), code.replace("-", ""), code.replace("-", " "), "lO" + code[2:], "Io" + code[2:]):
        assert hash_code(typed) == kept, typed


@pytest.mark.parametrize("typed", ["", "123456", "10AB-CDEF-GHJK-MNPQ-RSTV-WXY", "U" * 24, "é" * 24, "x" * 100])
def test_what_can_be_no_recovery_code_has_no_hash(typed: str) -> None:
    assert hash_code(typed) is None
