"""Codes that stand in for the second factor, once each, when the phone is lost.

Source: OWASP ASVS 5, V6.5.2: from 112 random bits on, a plain hash is enough.
"""

import hashlib
import re
import secrets
import unicodedata
from typing import Final

CODES: Final = 10
ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's base32: no letter that looks like a digit, and no U."""
SYMBOLS: Final = 24
"""120 random bits."""
GROUP: Final = 4
_FORM: Final = re.compile(f"[{ALPHABET}]{{{SYMBOLS}}}")
_AS_MEANT: Final = str.maketrans("OIL", "011", " -\t")


def new_codes() -> list[str]:
    """CODES codes, such as `7QK4-3V0N-T8XB-R2WD-HM5E-9CGJ`."""
    return [_new_code() for _ in range(CODES)]


def hash_code(typed: str) -> bytes | None:
    """What is kept of a code, however a person types it: SHA-256. None for a text that can be no such code."""
    code = unicodedata.normalize("NFKC", typed).upper().translate(_AS_MEANT)
    return hashlib.sha256(code.encode()).digest() if _FORM.fullmatch(code) else None


def _new_code() -> str:
    symbols = "".join(secrets.choice(ALPHABET) for _ in range(SYMBOLS))
    return "-".join(symbols[at : at + GROUP] for at in range(0, SYMBOLS, GROUP))
