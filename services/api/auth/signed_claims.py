"""The claims of signed tokens of any type. Source: RFC 7519 (JWT), RFC 8725 (its best practices)."""

from collections.abc import Sequence
from typing import Any, Final

import jwt

ISSUER: Final = "cortexai"
COMMON_CLAIMS: Final = ("exp", "iat", "iss", "aud", "sub", "typ")
"""What every token has."""


def read_claims(
    token: str, secret: str, algorithm: str, *, audience: str, typ: str, required: Sequence[str], lifetime: int
) -> dict[str, Any]:
    """The claims of a token of this type. Its `sub` is a decimal number.

    A token without one of the `required` claims is refused, and one that was given more than `lifetime` seconds.

    Raises:
        jwt.InvalidTokenError: the token is not one that was issued for this, or it has expired.

    """
    claims: dict[str, Any] = jwt.decode(
        token,
        secret,
        algorithms=[algorithm],
        issuer=ISSUER,
        audience=audience,
        options={"require": list(required), "strict_aud": True},
    )
    if claims["typ"] != typ or not isinstance(claims["iat"], int) or not isinstance(claims["exp"], int):
        raise jwt.InvalidTokenError
    if claims["exp"] - claims["iat"] > lifetime or not claims["sub"].isdecimal():
        raise jwt.InvalidTokenError
    return claims
