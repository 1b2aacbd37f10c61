"""Access tokens. Source: RFC 9068 (JWT profile for access tokens), RFC 8725 (best practices of JWT)."""

import time
from dataclasses import dataclass
from typing import Final, NamedTuple
from uuid import uuid4

import jwt

from services.api.auth.signed_claims import COMMON_CLAIMS, ISSUER, SESSION, TokenForm, read_claims, session_of
from services.api.auth.signing_keys import SigningKeys
from shared.errors import TokenInvalid
from shared.ids import UserId

AUDIENCE: Final = "cortexai-api"
CLIENT_ID: Final = "cortexai"
"""All who log in here are one client: this product."""
TYPE: Final = "at+jwt"
FORM: Final = TokenForm(TYPE, {"client_id": CLIENT_ID}, (*COMMON_CLAIMS, "jti", "client_id", SESSION))
FORM_BEFORE: Final = TokenForm(
    "JWT", {"typ": "access"}, (*COMMON_CLAIMS, "jti", "typ"), names_key=False, given_for=3600
)
"""That of the release before, whose tokens name no key and no session. By default they were given for an hour."""


class Bearer(NamedTuple):
    """Whom an access token names. `session_id` is None for a token of the release before.

    `expires_at`: the time, in seconds since 1970, from which the token is refused.
    """

    user_id: UserId
    session_id: int | None
    expires_at: float


@dataclass(frozen=True, slots=True)
class AccessTokens:
    """Issues and reads access tokens. `lifetime` is a token's; `leeway` is how far clocks may differ. Both are in seconds."""

    keys: SigningKeys
    lifetime: int
    leeway: int = 0

    def issue(self, user_id: UserId, session_id: int) -> str:
        """A token that names the user and the session, without which it is good for nothing."""
        now = int(time.time())
        claims = {
            "sub": str(user_id),
            "client_id": CLIENT_ID,
            "iss": ISSUER,
            "aud": AUDIENCE,
            "iat": now,
            "exp": now + self.lifetime,
            "jti": uuid4().hex,
            SESSION: str(session_id),
        }
        return self.keys.sign(claims, TYPE)

    def read(self, token: str) -> Bearer:
        """Whom a token names.

        Raises:
            TokenInvalid: the token is not one that `issue` made, or it has expired.

        """
        try:
            claims = read_claims(
                token,
                self.keys,
                audience=AUDIENCE,
                forms=(FORM, FORM_BEFORE),
                lifetime=self.lifetime,
                leeway=self.leeway,
            )
            session_id = session_of(claims)
        except jwt.InvalidTokenError as error:
            raise TokenInvalid from error
        return Bearer(UserId(int(claims["sub"])), session_id, claims["exp"] + self.leeway)
