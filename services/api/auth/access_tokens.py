"""Access tokens. Source: RFC 9068 (JWT profile for access tokens), RFC 8725 (best practices of JWT)."""

import time
from dataclasses import dataclass
from typing import Final
from uuid import uuid4

import jwt

from services.api.auth.signed_claims import COMMON_CLAIMS, ISSUER, TokenForm, read_claims
from services.api.auth.signing_keys import SigningKeys
from shared.errors import TokenInvalid
from shared.ids import UserId

AUDIENCE: Final = "cortexai-api"
CLIENT_ID: Final = "cortexai"
"""All who log in here are one client: this product."""
TYPE: Final = "at+jwt"
FORM: Final = TokenForm(TYPE, {"client_id": CLIENT_ID}, (*COMMON_CLAIMS, "jti", "client_id"))
FORM_BEFORE: Final = TokenForm(
    "JWT", {"typ": "access"}, (*COMMON_CLAIMS, "jti", "typ"), names_key=False, given_for=3600
)
"""That of the release before, whose tokens name no key. By default they were given for an hour."""


@dataclass(frozen=True, slots=True)
class AccessTokens:
    """Issues and reads access tokens. `lifetime` is a token's; `leeway` is how far clocks may differ. Both are in seconds."""

    keys: SigningKeys
    lifetime: int
    leeway: int = 0

    def issue(self, user_id: UserId) -> str:
        """A token that names the user."""
        now = int(time.time())
        claims = {
            "sub": str(user_id),
            "client_id": CLIENT_ID,
            "iss": ISSUER,
            "aud": AUDIENCE,
            "iat": now,
            "exp": now + self.lifetime,
            "jti": uuid4().hex,
        }
        return self.keys.sign(claims, TYPE)

    def read(self, token: str) -> UserId:
        """The user that a token names.

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
        except jwt.InvalidTokenError as error:
            raise TokenInvalid from error
        return UserId(int(claims["sub"]))
