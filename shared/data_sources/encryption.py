"""Passwords and rows of data sources, and secrets of second factors, encrypted, with keys that can be changed.

The form is Fernet: AES-128-CBC with HMAC-SHA256.

What is encrypted names its user and its purpose, so that a text which somebody moves to another row of the database does not
decrypt there. What is stored begins with the key's fingerprint, by which rows under older keys are found.
"""

from collections.abc import Sequence
from hashlib import sha256
from typing import Final, Literal

from cryptography.fernet import Fernet, InvalidToken

from shared.errors import DataSourceKeyMissing
from shared.ids import UserId

Purpose = Literal["reader_url", "writer_url", "before_images", "totp_secret"]
"""The column that holds the text."""

FINGERPRINT_BYTES: Final = 9
"""Eight hexadecimal digits and a colon."""


class Keyring:
    """The keys of DATA_SOURCE_KEYS. The first one encrypts; each of them decrypts."""

    def __init__(self, keys: Sequence[str]) -> None:
        """Take the keys, at least one: 32 bytes each, in URL-safe base64.

        Raises:
            ValueError: one of them is no such key.

        """
        self._keys = {_fingerprint(key): Fernet(key) for key in keys}
        self.fingerprint = _fingerprint(keys[0])
        """How texts begin that the first key has encrypted."""

    def encrypt(self, text: str, user_id: UserId, purpose: Purpose) -> bytes:
        """A text as it is stored."""
        bound = f"{user_id}\0{purpose}\0{text}"
        return self.fingerprint + self._keys[self.fingerprint].encrypt(bound.encode())

    def decrypt(self, stored: bytes, user_id: UserId, purpose: Purpose) -> str:
        """The text.

        Raises:
            DataSourceKeyMissing: no key fits, or what is stored was made for another user or purpose.

        """
        text = self._open(stored)
        bound = f"{user_id}\0{purpose}\0"
        if not text.startswith(bound):
            raise DataSourceKeyMissing
        return text.removeprefix(bound)

    def renew(self, stored: bytes) -> bytes:
        """The same text under the first key.

        Raises:
            DataSourceKeyMissing: no key fits.

        """
        return self.fingerprint + self._keys[self.fingerprint].encrypt(self._open(stored).encode())

    def _open(self, stored: bytes) -> str:
        key = self._keys.get(stored[:FINGERPRINT_BYTES])
        try:
            if key is not None:
                return key.decrypt(stored[FINGERPRINT_BYTES:]).decode()
        except InvalidToken:
            pass
        raise DataSourceKeyMissing


def _fingerprint(key: str) -> bytes:
    return f"{sha256(key.strip().encode()).hexdigest()[: FINGERPRINT_BYTES - 1]}:".encode()
