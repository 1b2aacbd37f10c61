"""Passwords and access tokens. Source: OWASP password storage; RFC 7519 (JWT), RFC 8725 (its best practices)."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final
from uuid import uuid4

import jwt
from passlib.context import CryptContext

from shared.errors import TokenInvalid, TooBusy
from shared.ids import UserId

ISSUER: Final = "cortexai"
AUDIENCE: Final = "cortexai-api"
CLAIMS: Final = ("exp", "iat", "jti", "iss", "aud", "sub", "typ")
HASHERS: Final = 2
MAX_WAITING: Final = 200


class Passwords:
    """Hashes passwords on threads of its own: one bcrypt takes a quarter of a second, which no event loop may wait for.

    The scheme is bcrypt_sha256, since plain bcrypt refuses what is longer than 72 bytes.
    """

    def __init__(self, *, rounds: int) -> None:
        self._context = CryptContext(schemes=["bcrypt_sha256"], bcrypt_sha256__rounds=rounds)
        self._threads = ThreadPoolExecutor(HASHERS, thread_name_prefix="password")
        self._waiting = 0
        # What a password is compared with when there is no such account, so that both answers take the same time.
        self._nobody: str = self._context.hash(uuid4().hex)

    async def hash(self, password: str) -> str:
        """The hash to keep.

        Raises:
            TooBusy: too many passwords are being hashed.

        """
        hashed: str = await self._run(self._context.hash, password)
        return hashed

    async def verify(self, password: str, password_hash: str | None) -> bool:
        """Whether the password is right; without a hash it is not, which takes as long to say.

        Raises:
            TooBusy: too many passwords are being hashed.

        """
        right = await self._run(self._context.verify, password, password_hash or self._nobody)
        return bool(right) and password_hash is not None

    async def _run(self, function: Any, *arguments: str) -> Any:  # noqa: ANN401
        if self._waiting >= MAX_WAITING:
            raise TooBusy
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)


@dataclass(frozen=True, slots=True)
class AccessTokens:
    """Issues and reads access tokens. `lifetime` is in seconds."""

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
            TokenInvalid: anything about it is not as `issue` makes it.

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
