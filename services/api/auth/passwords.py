"""Hashing of passwords. Source: OWASP password storage."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final
from uuid import uuid4

from passlib.context import CryptContext

from shared.errors import TooBusy

HASHERS: Final = 2
MAX_WAITING: Final = 200


class Passwords:
    """Hashes passwords on threads of its own, since a bcrypt hash takes a quarter of a second.

    The scheme is bcrypt_sha256, since plain bcrypt refuses passwords of more than 72 bytes.
    """

    def __init__(self, *, rounds: int) -> None:
        self._context = CryptContext(schemes=["bcrypt_sha256"], bcrypt_sha256__rounds=rounds)
        self._threads = ThreadPoolExecutor(HASHERS, thread_name_prefix="password")
        self._waiting = 0
        # A password without an account is compared with this hash, so that both answers take the same time.
        self._nobody: str = self._context.hash(uuid4().hex)

    async def hash(self, password: str) -> str:
        """The hash of a password.

        Raises:
            TooBusy: too many passwords are being hashed.

        """
        hashed: str = await self._run(self._context.hash, password)
        return hashed

    async def verify(self, password: str, password_hash: str | None) -> bool:
        """Whether the password is right. Without a hash the answer is no, and takes as long.

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
