"""Access tokens. Source: RFC 7519 (JWT), RFC 8725 (its best practices)."""

import time
from dataclasses import dataclass
from typing import Final
from uuid import uuid4

import jwt

from services.api.auth.signed_claims import COMMON_CLAIMS, ISSUER, read_claims
from shared.errors import TokenInvalid
from shared.ids import UserId

AUDIENCE: Final = "cortexai-api"
CLAIMS: Final = (*COMMON_CLAIMS, "jti")
TYPE: Final = "access"


@dataclass(frozen=True, slots=True)
class AccessTokens:
    """Issues and reads access tokens. `lifetime` is a token's; `leeway` is how far clocks may differ. Both are in seconds."""

    secret: str
    algorithm: str
    lifetime: int
    leeway: int = 0

    def issue(self, user_id: UserId) -> str:
        """A token that names the user."""
        now = int(time.time())
        claims = {
            "sub": str(user_id),
            "typ": TYPE,
            "iss": ISSUER,
            "aud": AUDIENCE,
            "iat": now,
            "exp": now + self.lifetime,
            "jti": uuid4().hex,
        }
        return jwt.encode(claims, self.secret, algorithm=self.algorithm)

    def read(self, token: str) -> UserId:
        """The user that a token names.

        Raises:
            TokenInvalid: the token is not one that `issue` made, or it has expired.

        """
        try:
            claims = read_claims(
                token,
                self.secret,
                self.algorithm,
                audience=AUDIENCE,
                typ=TYPE,
                required=CLAIMS,
                lifetime=self.lifetime,
                leeway=self.leeway,
            )
        except jwt.InvalidTokenError as error:
            raise TokenInvalid from error
        return UserId(int(claims["sub"]))
