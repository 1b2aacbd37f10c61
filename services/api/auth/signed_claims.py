"""The claims of signed tokens of any type. Source: RFC 7519 (JWT), RFC 8725 (its best practices)."""

import json
import re
from collections.abc import Sequence
from typing import Any, Final

import jwt
from jwt.utils import base64url_decode

from shared.ids import MAX_BIGINT

ISSUER: Final = "cortexai"
COMMON_CLAIMS: Final = ("exp", "iat", "iss", "aud", "sub", "typ")
"""What every token has."""
MAX_CHARS: Final = 1024
"""A token of ours has some 300."""
USER_ID: Final = re.compile(r"[1-9][0-9]{0,18}")


def read_claims(
    token: str,
    secret: str,
    algorithm: str,
    *,
    audience: str,
    typ: str,
    required: Sequence[str],
    lifetime: int,
    leeway: int,
) -> dict[str, Any]:
    """The claims of a token of this type. Its `sub` is a user's id in decimal.

    A token is refused that lacks one of the `required` claims, or was given for more than `lifetime` seconds; and one that
    says anything of its key or of extensions, or says something twice: none of ours does, whoever signed it. The clock of
    the process that issued it may differ by `leeway` seconds.

    Raises:
        jwt.InvalidTokenError: the token is not one that was issued for this, or it has expired.

    """
    if len(token) > MAX_CHARS:
        raise jwt.InvalidTokenError
    claims: dict[str, Any] = jwt.decode(
        token,
        secret,
        algorithms=[algorithm],
        issuer=ISSUER,
        audience=audience,
        leeway=leeway,
        options={"require": list(required), "strict_aud": True},
    )
    header, said = (_read_once(part) for part in token.split(".")[:2])
    if header != {"alg": algorithm, "typ": "JWT"} or said != claims:
        raise jwt.InvalidTokenError
    if claims["typ"] != typ or type(claims["iat"]) is not int or type(claims["exp"]) is not int:
        raise jwt.InvalidTokenError
    if not 0 < claims["exp"] - claims["iat"] <= lifetime or not _is_user_id(claims["sub"]):
        raise jwt.InvalidTokenError
    return claims


def _read_once(part: str) -> dict[str, Any]:
    """A part of a token whose signature is right.

    Raises:
        jwt.InvalidTokenError: a name comes twice in it (RFC 7519, section 4; RFC 7515, section 4).

    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise jwt.InvalidTokenError
        return found

    read: dict[str, Any] = json.loads(base64url_decode(part), object_pairs_hook=once)
    return read


def _is_user_id(text: str) -> bool:
    return USER_ID.fullmatch(text) is not None and int(text) <= MAX_BIGINT
