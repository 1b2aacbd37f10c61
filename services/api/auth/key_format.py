"""What an API key looks like: `ck_`, 43 random characters, and 6 by which a program tells offline that it may be one.

The prefix and the checksum are for those who look for leaked secrets, as in GitHub's tokens
(https://github.blog/engineering/platform-security/behind-githubs-new-authentication-token-formats/). docs/accounts.md tells
both.
"""

import re
import secrets
import string
import zlib
from typing import Final

PREFIX: Final = "ck_"
ALPHABET: Final = string.digits + string.ascii_uppercase + string.ascii_lowercase
"""Base62: a double click selects a whole key, and no key has to be escaped anywhere."""
RANDOM_BITS: Final = 256
RANDOM_CHARS: Final = 43
"""62 characters have 5.95 bits each."""
CHECK_CHARS: Final = 6
SHOWN_CHARS: Final = 8
"""So many characters of a key may be known to all: they tell a user's keys apart, and leave 226 bits unknown."""
KEY: Final = re.compile(rf"{PREFIX}[0-9A-Za-z]{{{RANDOM_CHARS + CHECK_CHARS}}}", re.ASCII)


def new_key() -> str:
    """A key: 256 random bits."""
    body = PREFIX + _base62(secrets.randbits(RANDOM_BITS), RANDOM_CHARS)
    return body + _checksum(body)


def is_key(text: str) -> bool:
    """Whether a text is what `new_key` may have made. Almost no mistyped key is, and no made-up one."""
    return KEY.fullmatch(text) is not None and text[-CHECK_CHARS:] == _checksum(text[:-CHECK_CHARS])


def _checksum(body: str) -> str:
    """The CRC-32 (as in gzip, RFC 1952) of all that stands before."""
    return _base62(zlib.crc32(body.encode()), CHECK_CHARS)


def _base62(number: int, length: int) -> str:
    """A number in so many characters, the most significant first."""
    found = []
    for _ in range(length):
        number, place = divmod(number, len(ALPHABET))
        found.append(ALPHABET[place])
    return "".join(reversed(found))
