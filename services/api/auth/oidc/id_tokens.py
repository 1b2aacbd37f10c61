"""ID tokens: who has signed one, and what it says. Source: OpenID Connect Core 1.0, section 3.1.3.7; RFC 8725.

An RSA signature is verified in 0.05 ms, and one of an elliptic curve in 0.1 ms: on the event loop.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import JWKRegistry, KeySet, OctKey, RSAKey
from joserfc.jws import JWSRegistry
from joserfc.jwt import Token

from services.api.auth.oidc.fetching import AnswerUnusable
from shared.errors import IdentityInvalid

ALGORITHMS: Final = tuple(f"{kind}{bits}" for kind in ("RS", "PS", "ES") for bits in (256, 384, 512))
"""Signatures by a key that the provider alone has. Not `none`, and no HMAC, whose key is the client's too."""
MAX_KEYS: Final = 50
PUBLIC: Final = ("kty", "kid", "use", "alg", "n", "e", "crv", "x", "y")
RSA_BITS: Final = range(2048, 8192 + 1)
MAX_SUBJECT_CHARS: Final = 255
"""Section 2: in ASCII."""
MAX_EMAIL_CHARS: Final = 320


class _Registry(JWSRegistry):
    max_header_length = 4096


_REGISTRY: Final = _Registry(algorithms=ALGORITHMS, strict_check_header=False)


class UnknownKey(Exception):
    """A token names a key that is not among the provider's."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Somebody whom a provider has identified: for good by `issuer` and `subject` together, and by nothing else.

    `email` is None where the provider has told none. `email_verified`: the provider vouches for the address.
    `auth_time`: when the person has proved something to the provider, in seconds since 1970; None where that is not told.
    """

    issuer: str
    subject: str
    email: str | None = field(repr=False)
    email_verified: bool
    auth_time: int | None


def read_keys(document: Mapping[str, Any]) -> KeySet:
    """A provider's keys (RFC 7517), without those that verify nothing here.

    Raises:
        AnswerUnusable: there are too many, or none.

    """
    listed = document.get("keys")
    if not isinstance(listed, list) or len(listed) > MAX_KEYS:
        raise AnswerUnusable("no_keys")
    keys = [key for entry in listed if (key := _key(entry)) is not None]
    if not keys:
        raise AnswerUnusable("no_keys")
    return KeySet(keys)


def _key(entry: object) -> Any:  # noqa: ANN401 - joserfc's, of several kinds; None for one that is of no use
    if not isinstance(entry, dict) or entry.get("use", "sig") != "sig" or entry.get("kty") not in {"RSA", "EC"}:
        return None
    if entry["kty"] == "RSA" and len(str(entry.get("n"))) * 6 not in range(RSA_BITS[0] - 8, RSA_BITS[-1] + 16):
        return None  # before it is read, which takes long where it is long, and warns where it is short
    try:
        key = JWKRegistry.import_key({name: entry[name] for name in PUBLIC if name in entry})
    except (JoseError, ValueError, TypeError, KeyError, AttributeError):
        return None
    if isinstance(key, OctKey) or (isinstance(key, RSAKey) and key.raw_value.key_size not in RSA_BITS):
        return None
    return key


def verify(token: str, keys: KeySet) -> Token:
    """A token whose signature is right.

    Raises:
        UnknownKey: the token names another key.
        IdentityInvalid: the token can't be read, or its algorithm or signature is not good.

    """
    try:
        return jwt.decode(token, keys, registry=_REGISTRY)
    except InvalidKeyIdError as error:
        raise UnknownKey from error
    except (JoseError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise IdentityInvalid(getattr(error, "error", "") or "token_unreadable") from error


def read_identity(
    token: Token, *, issuer: str, client_id: str, nonce: str, access_token: str | None, leeway: int
) -> Identity:
    """Who is identified by a token whose signature is right.

    Raises:
        IdentityInvalid: it is not for this client, not for this login, or not good any more.

    """
    options: dict[str, Any] = {
        "iss": {"essential": True, "value": issuer},
        "sub": {"essential": True},
        "aud": {"essential": True, "value": client_id},
        "nonce": {"essential": True, "value": nonce},
    }
    params = {"client_id": client_id, "nonce": nonce, "access_token": access_token}
    claims = CodeIDToken(token.claims, token.header, options, params)
    try:
        claims.validate(leeway=leeway)
    except JoseError as error:
        raise IdentityInvalid(f"{error.error}: {_named(error.description)}") from error
    except (ValueError, TypeError) as error:
        raise IdentityInvalid("claims_unreadable") from error
    subject = claims["sub"]
    if len(subject) > MAX_SUBJECT_CHARS or not subject.isascii() or not subject.isprintable():
        raise IdentityInvalid("subject")
    return Identity(issuer, subject, *read_email(claims), _time(claims.get("auth_time")))


def read_email(claims: Mapping[str, Any]) -> tuple[str | None, bool]:
    """The address that a provider tells, and whether it vouches for that: by `true`, and by nothing that looks like it."""
    email = claims.get("email")
    if not isinstance(email, str) or not email or len(email) > MAX_EMAIL_CHARS:
        return None, False
    return email, claims.get("email_verified") is True


def _time(told: object) -> int | None:
    if isinstance(told, bool) or not isinstance(told, int | float) or not math.isfinite(told):
        return None
    return int(told) if 0 < told < 2**40 else None


def _named(description: str) -> str:
    """The claim that an error of joserfc is about: one word of its text, for the log."""
    known = ("iss", "sub", "aud", "azp", "exp", "iat", "nbf", "nonce", "at_hash", "auth_time", "amr")
    return next((name for name in known if name in description.replace("'", " ").replace('"', " ").split()), "claim")
