"""Names of signing keys that anybody may know."""

import hashlib
import hmac
from typing import Final

ID_BYTES: Final = 8
_TEXT: Final = b"cortexai key id"
"""It has spaces, so it is nothing that the key ever signs: a token has none."""


def key_id(secret: str) -> str:
    """The id of a signing key: 16 hexadecimal digits, always the same for the same secret (`kid`: RFC 7515, section 4.1.4).

    It is a keyed hash (HMAC, RFC 2104) of a fixed text, so that it tells nothing of the secret.
    """
    return hmac.digest(secret.encode(), _TEXT, hashlib.sha256)[:ID_BYTES].hex()
