"""Access tokens. Source: RFC 7519 (JWT), RFC 8725 (its best practices)."""

import time
from dataclasses import dataclass
from typing import Final
from uuid import uuid4

import jwt

from shared.errors import TokenInvalid
from shared.ids import UserId

ISSUER: Final = "cortexai"
AUDIENCE: Final = "cortexai-api"
CLAIMS: Final = ("exp", "iat", "jti", "iss", "aud", "sub", "typ")


@dataclass(frozen=True, slots=True)
class AccessTokens:
    """Issues and reads access tokens. `lifetime` is a token's, in seconds."""

    secret: str
    algorithm: str
    lifetime: int

    def issue(self, user_id: UserId) -> str:
        """A token that names the user."""
        now = int(time.time())
        claims = {
            "sub": str(user_id),
            "typ": "access",
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
            claims = jwt.decode(
                token,
                self.secret,
                algorithms=[self.algorithm],
                issuer=ISSUER,
                audience=AUDIENCE,
                options={"require": list(CLAIMS), "strict_aud": True},
            )
        except jwt.InvalidTokenError as error:
            raise TokenInvalid from error
        if claims["typ"] != "access" or not isinstance(claims["iat"], int) or not isinstance(claims["exp"], int):
            raise TokenInvalid
        if claims["exp"] - claims["iat"] > self.lifetime or not claims["sub"].isdecimal():
            raise TokenInvalid
        return UserId(int(claims["sub"]))
