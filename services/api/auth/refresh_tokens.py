"""Refresh tokens: their form, and how a used one keeps its successor. Source: RFC 6749, section 6; RFC 9700, section 4.14.

`crt_`, by which scanners for secrets know such a token, then 32 characters that all tokens of a session share and that find
the session, then 43 characters of the token's own.
"""

import re
import secrets
from base64 import urlsafe_b64encode
from typing import Final, NamedTuple

from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from shared.accounts.tokens import hash_token

PREFIX: Final = "crt_"
FAMILY_BYTES: Final = 24
OWN_BYTES: Final = 32
FORM: Final = re.compile(PREFIX + r"([A-Za-z0-9_-]{32})([A-Za-z0-9_-]{43})")
KEY_BYTES: Final = 32
PURPOSE: Final = b"cortexai refresh token: successor"


class RefreshToken(NamedTuple):
    """A refresh token in its two parts. Both are secrets."""

    family: str
    own: str

    @property
    def family_hash(self) -> bytes:
        """By what its session's row is found."""
        return hash_token(self.family)

    @property
    def own_hash(self) -> bytes:
        """By what its own row is found."""
        return hash_token(self.own)

    def text(self) -> str:
        """The token as its client has it."""
        return f"{PREFIX}{self.family}{self.own}"

    def successor(self) -> "RefreshToken":
        """Another token of the same family."""
        return self._replace(own=secrets.token_urlsafe(OWN_BYTES))

    def seal(self, successor: "RefreshToken") -> bytes:
        """A successor as this token's row keeps it: only who has this token can read it."""
        return self._key().encrypt(successor.own.encode())

    def unseal(self, kept: bytes) -> "RefreshToken":
        """The successor that `seal` has sealed.

        Raises:
            cryptography.fernet.InvalidToken: this is not what this token has sealed.

        """
        return self._replace(own=self._key().decrypt(kept).decode())

    def _key(self) -> Fernet:
        """A key that only this token gives. Its row has a hash of the token's, and from that no key follows."""
        key = HKDF(SHA256(), KEY_BYTES, salt=None, info=PURPOSE).derive(self.own.encode())
        return Fernet(urlsafe_b64encode(key))


def new_family() -> RefreshToken:
    """The first token of a new session."""
    return RefreshToken(secrets.token_urlsafe(FAMILY_BYTES), secrets.token_urlsafe(OWN_BYTES))


def read_refresh_token(text: str) -> RefreshToken | None:
    """A token in its parts; None for a text that is none."""
    found = FORM.fullmatch(text)
    return RefreshToken(found[1], found[2]) if found else None
