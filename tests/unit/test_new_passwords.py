"""Which new passwords are refused."""

import json
import subprocess
import sys
import time
from typing import Final

import pytest

from services.api.auth.new_passwords import check_new_password, common_passwords
from shared.errors import InvalidInput, PasswordIsTheEmail, PasswordIsTheProduct, PasswordTooCommon

EMAIL: Final = "Ada.Lovelace@engines.example.com"
COST: Final = """
import json, sys, time
from services.api.auth.new_passwords import common_passwords
began = time.process_time()
kept = sum(map(sys.getsizeof, common_passwords())) + sys.getsizeof(common_passwords())
print(json.dumps([time.process_time() - began, kept, "zxcvbn" in sys.modules]))
"""


@pytest.mark.parametrize(
    "password", ["password1", "PASSWORD1", "Ｐassword1", "12345678", "qwertyuiop", "1qaz2wsx3edc", "iloveyou1"]
)
async def test_a_common_password_is_refused_in_any_spelling(password: str) -> None:
    with pytest.raises(PasswordTooCommon):
        await check_new_password(password, EMAIL)


@pytest.mark.parametrize(
    "password",
    [
        *("Ada.Lovelace@engines.example.com", "ada.lovelace@ENGINES.example.com", "ada.lovelace", "ＡＤＡ.lovelace"),
        *("ada.lovelace1843", "!ada.lovelace!", "engines.example.com", "engines123", "2026 Engines!", "example!1"),
    ],
)
async def test_the_address_and_its_parts_are_refused_whatever_stands_around_them(password: str) -> None:
    with pytest.raises(PasswordIsTheEmail):
        await check_new_password(password, EMAIL)


async def test_a_local_part_of_digits_is_refused() -> None:
    with pytest.raises(PasswordIsTheEmail):
        await check_new_password("83910284", "83910284@example.com")


@pytest.mark.parametrize("password", ["cortexai", "CortexAI", "CortexAI2026!", "123cortexai"])
async def test_the_products_name_is_refused_whatever_stands_around_it(password: str) -> None:
    with pytest.raises(PasswordIsTheProduct):
        await check_new_password(password, EMAIL)


@pytest.mark.parametrize(
    "password",
    [
        *("correct horse battery", "a long password", "my cortexai word", "ada and her engines", "aaaaaaaaaaaaaaaa"),
        *("пароль-мой", "        ", "😀😀😀😀😀😀😀😀", "com12345x", "x" * 4096, "lovelace and ada"),
    ],
)
async def test_any_other_password_is_taken(password: str) -> None:
    await check_new_password(password, EMAIL)


@pytest.mark.parametrize("email", ["a@b.co", "1@2.co", "😀@example.com", "@", ""])
async def test_short_and_odd_addresses_refuse_no_password_of_others(email: str) -> None:
    await check_new_password("a-83910284-b", email)


async def test_a_refusal_names_the_field() -> None:
    with pytest.raises(InvalidInput) as refused:
        await check_new_password("password1", EMAIL, field="new_password")
    assert refused.value.field == "new_password"


def test_the_list_has_more_than_the_3000_most_used_passwords_of_their_length() -> None:
    """OWASP ASVS 5, V6.2.4."""
    assert len(common_passwords()) > 10_000
    assert all(len(password) >= 8 and password == password.casefold() for password in common_passwords())


def test_the_list_is_read_quickly_and_takes_little_memory() -> None:
    """Without the package around it, which would rank all of its lists."""
    told = subprocess.run([sys.executable, "-c", COST], capture_output=True, text=True, check=True).stdout
    seconds, kept, is_whole = json.loads(told)
    assert seconds < 2  # 12 ms on an idle machine
    assert kept < 2_000_000
    assert not is_whole


async def test_a_long_password_is_looked_at_in_a_moment() -> None:
    await check_new_password("warm up", EMAIL)
    began = time.process_time()
    for password in ("1" * 4096, "a1" * 2048, "ẞ" * 4096):
        await check_new_password(password, EMAIL)
    assert time.process_time() - began < 1
