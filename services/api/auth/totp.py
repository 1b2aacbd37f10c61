"""Codes of an authenticator app, which change with the time. Source: RFC 6238 (TOTP), RFC 4226 (HOTP).

Six digits, a new code every 30 seconds, HMAC-SHA-1: what all apps have. The clock is the server's.
"""

import re
import time
import unicodedata
from typing import Final

import pyotp
from pyotp.exceptions import OTPVerificationError

ISSUER: Final = "CortexAI"
SECRET_CHARS: Final = 32
"""Of base32: 160 random bits, as RFC 4226, section 4, recommends."""
WINDOW: Final = 1
"""Steps by which the clocks of the server and of the phone may differ, each way."""
CODE: Final = re.compile("[0-9]{6}")
_BETWEEN: Final = str.maketrans("", "", " -\t")


def new_secret() -> str:
    """A secret in base32."""
    return pyotp.random_base32(SECRET_CHARS)


def uri_of(secret: str, email: str) -> str:
    """The secret as an `otpauth:` URI, which apps read from a QR code."""
    return pyotp.TOTP(secret, name=email, issuer=ISSUER).provisioning_uri()


def read_code(typed: str) -> str | None:
    """The six digits that a person has typed, with spaces between them or in full width; None for any other text."""
    code = unicodedata.normalize("NFKC", typed).translate(_BETWEEN)
    return code if CODE.fullmatch(code) else None


def find_step(secret: str, code: str, after: int | None, *, now: float | None = None) -> int | None:
    """The time step of a code that may be taken now; None where the code is wrong, or no newer than the step `after`.

    `now` is in Unix seconds; None for this moment.
    """
    try:
        step = pyotp.TOTP(secret).verify_and_get_timecode(
            code, for_time=time.time() if now is None else now, valid_window=WINDOW
        )
    except OTPVerificationError:
        return None
    return step if after is None or step > after else None
