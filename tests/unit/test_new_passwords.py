"""Which new passwords are refused."""

import json
import subprocess
import sys
import time
from typing import Final

import pytest

from services.api.auth.common_passwords import common_words, listed_words
from services.api.auth.new_passwords import check_new_password
from shared.errors import InvalidInput, PasswordIsTheEmail, PasswordIsTheProduct, PasswordTooCommon

MOST_USED: Final = """
    123456789 12345678 1234567890 password password1 iloveyou qwerty123 1q2w3e4r qwertyuiop 987654321 87654321 00000000
    11111111 88888888 66666666 99999999 77777777 55555555 22222222 33333333 44444444 111111111 1111111111 0000000000
    7777777777 123123123 0123456789 9876543210 0987654321 12341234 12121212 123456123456 1234512345 11223344 12344321
    147258369 123456789a a123456789 abcd1234 abcdefgh abc12345 aaaaaaaa zzzzzzzz abcabcabc asdasdasd qweqweqwe 1qaz2wsx
    1q2w3e4r5t 1q2w3e4r5t6y zaq12wsx qazwsxedc qwertyui asdfghjk asdfghjkl zxcvbnm1 qwer1234 asdf1234 qwerty12 qwerty1234
    sunshine princess football baseball basketball superman batman123 trustno1 welcome1 welcome123 welcome1234 admin123
    admin1234 administrator root1234 test1234 user1234 changeme letmein1 letmein123 monkey123 dragon123 master123
    password12 password123 password1234 password! password1! passw0rd p@ssw0rd p@ssw0rd! password2024 admin@123
    welcome@123 summer2024 winter2023! michelle jennifer chocolate linkedin facebook computer internet starwars whatever
    jonathan elizabeth christina1 princess1 babygirl1 lovelove adminadmin testtest qwertyqwerty passwordpassword 19841984
    20202020 10101010
"""
"""Of lists of what breaches have shown, those with 8 characters and more."""
EMAIL: Final = "Ada.Lovelace@engines.example.com"
COST: Final = """
import json, sys, time
from services.api.auth.common_passwords import common_words
began = time.process_time()
kept = sys.getsizeof(common_words())
print(json.dumps([time.process_time() - began, kept, "zxcvbn" in sys.modules]))
"""


@pytest.mark.parametrize("password", MOST_USED.split())
async def test_the_most_used_passwords_are_refused(password: str) -> None:
    with pytest.raises(PasswordTooCommon):
        await check_new_password(password, EMAIL)


@pytest.mark.parametrize(
    "password", ["PASSWORD1", "Ｐassword1", "PassWord!", "QWERTYUIOP", "ABCDEFGH", "９８７６５４３２１", "AaAaAaAa"]
)
async def test_a_common_password_is_refused_in_any_spelling(password: str) -> None:
    with pytest.raises(PasswordTooCommon):
        await check_new_password(password, EMAIL)


@pytest.mark.parametrize(
    "password",
    [
        *("23456789", "hgfedcba", "acegikmo", "97531975", "67890123", "абвгдежз", "αβγδεζηθ", "lkjhgfdsa", "йцукенгш"),
        *("qwertyuiop[]", "mnbvcxz1", "abcdefgh!", "12345678?", "3edc4rfv5tgb", "xxxxxxxx", "abcabcab", "x" * 4096),
        *("😀" * 8, "a1" * 2048, "monkey monkey ", "12341234!", "aaaa2024", "password1password1"),
    ],
)
async def test_one_run_and_one_short_text_again_and_again_are_refused(password: str) -> None:
    with pytest.raises(PasswordTooCommon):
        await check_new_password(password, EMAIL)


@pytest.mark.parametrize("password", [" " * 8, "\u200b" * 8, " \t\u00a0\u200b\u2060\ufeff \u3000", "\u2800 " * 6])
async def test_what_nobody_sees_is_refused(password: str) -> None:
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
        *("correct horse battery", "a long password", "my cortexai word", "ada and her engines", "lovelace and ada"),
        *(
            "пароль-мой",
            "😀 and no more",
            "com12345x",
            "83910284",
            "kx7 kx7 wq",
            "monkey483920",
            "monkey!!1",
            "long one" * 2,
        ),
        *("ab!1234", "the password is mine", "abcdefg h", "x" * 4000 + "y"),
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
    assert len({word for word in listed_words() if len(word) >= 8}) > 40_000
    assert len(common_words()) > 90_000
    assert all(word.isascii() and word == word.casefold() for word in listed_words())


def test_the_list_is_read_quickly_and_takes_little_memory() -> None:
    """Without the package around it, which would rank all of its lists."""
    told = subprocess.run([sys.executable, "-c", COST], capture_output=True, text=True, check=True).stdout
    seconds, kept, is_whole = json.loads(told)
    assert seconds < 2  # 0.1 s on an idle machine
    assert kept < 1_000_000
    assert not is_whole


async def test_a_long_password_is_looked_at_in_a_moment() -> None:
    await check_new_password("warm up", EMAIL)
    began = time.process_time()
    for password in ("1" * 4000 + "x!1234!", "a1" * 2000 + "b" + "a1" * 2000, "ẞ" * 4000 + "a!1234!"):
        await check_new_password(password, EMAIL)
    assert time.process_time() - began < 1
