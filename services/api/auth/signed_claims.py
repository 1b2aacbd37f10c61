"""The claims of signed tokens of any type. Source: RFC 7519 (JWT), RFC 8725 (its best practices)."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import jwt
from jwt.utils import base64url_decode

from services.api.auth.signing_keys import SigningKey, SigningKeys
from shared.ids import MAX_BIGINT

ISSUER: Final = "cortexai"
COMMON_CLAIMS: Final = ("exp", "iat", "iss", "aud", "sub")
"""What every token has."""
MAX_CHARS: Final = 1024
"""A token of ours has some 300."""
ID: Final = re.compile(r"[1-9][0-9]{0,18}")
SESSION: Final = "sid"
"""The claim that has the session's id, in decimal. Source: OpenID Connect Front-Channel Logout 1.0, section 3."""


@dataclass(frozen=True, slots=True)
class TokenForm:
    """What tokens of one type look like. Their header has the algorithm, this `typ` and, with `names_key`, the key's id.

    `fixed` are claims of one value, `required` all that there must be. `given_for`: so many seconds a release before may
    have given such a token for, whatever the settings say now.
    """

    typ: str
    fixed: Mapping[str, str]
    required: tuple[str, ...]
    names_key: bool = True
    given_for: int = 0

    def header(self, algorithm: str, key: SigningKey) -> dict[str, str]:
        """The header of such a token that is signed by this key. Nothing else may stand there."""
        return {"alg": algorithm, "typ": self.typ, **({"kid": key.id} if self.names_key else {})}


def read_claims(
    token: str,
    keys: SigningKeys,
    *,
    audience: str,
    forms: Sequence[TokenForm],
    lifetime: int,
    leeway: int,
) -> dict[str, Any]:
    """The claims of a token of one of these forms. Its `sub` is a user's id in decimal.

    A token is refused that lacks a claim, or was given for more than `lifetime` seconds; one that says more in its header
    than its form does, or anything twice, whoever signed it; and one that names another key than the one that signed it.
    The clock of the process that issued it may differ by `leeway` seconds.

    Raises:
        jwt.InvalidTokenError: the token is not one that was issued for this, or it has expired.

    """
    if len(token) > MAX_CHARS or "=" in token:  # RFC 7515, section 2: without padding, so that a token has one spelling
        raise jwt.InvalidTokenError
    head, _, rest = token.partition(".")
    header = _read_once(head)
    # A token of no form is verified all the same, so that nobody learns by the time why it was refused.
    form = next((form for form in forms if form.typ == header.get("typ")), forms[0])
    tried = (keys.find(header.get("kid")),) if form.names_key else keys.all
    key, claims = _verified(token, keys.algorithm, tried, audience, form.required, leeway)
    if header != form.header(keys.algorithm, key) or _read_once(rest.partition(".")[0]) != claims:
        raise jwt.InvalidTokenError
    if any(claims.get(name) != value for name, value in form.fixed.items()):
        raise jwt.InvalidTokenError
    if type(claims["iat"]) is not int or type(claims["exp"]) is not int or not _is_id(claims["sub"]):
        raise jwt.InvalidTokenError
    if not 0 < claims["exp"] - claims["iat"] <= max(lifetime, form.given_for):
        raise jwt.InvalidTokenError
    return claims


def session_of(claims: dict[str, Any]) -> int | None:
    """The session that a token belongs to; None for a token of the release before, which knew no such thing.

    Raises:
        jwt.InvalidTokenError: the claim is there and no id.

    """
    if SESSION not in claims:
        return None
    told = claims[SESSION]
    if not isinstance(told, str) or not _is_id(told):
        raise jwt.InvalidTokenError
    return int(told)


def _verified(
    token: str, algorithm: str, tried: Sequence[SigningKey], audience: str, required: Sequence[str], leeway: int
) -> tuple[SigningKey, dict[str, Any]]:
    """The key that signed a token, and its claims."""
    for key in tried:
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key.secret,
                algorithms=[algorithm],
                issuer=ISSUER,
                audience=audience,
                leeway=leeway,
                options={"require": list(required), "strict_aud": True},
            )
        except jwt.InvalidSignatureError:
            continue
        return key, claims
    raise jwt.InvalidSignatureError


def _read_once(part: str) -> dict[str, Any]:
    """A part of a token, whoever signed it.

    Raises:
        jwt.InvalidTokenError: it is no object of JSON, or a name comes twice in it (RFC 7519, section 4; RFC 7515, section 4).

    """

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            raise jwt.InvalidTokenError
        return found

    try:
        read = json.loads(base64url_decode(part), object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        raise jwt.DecodeError from error
    if not isinstance(read, dict):
        raise jwt.DecodeError
    return read


def _is_id(text: str) -> bool:
    return ID.fullmatch(text) is not None and int(text) <= MAX_BIGINT
