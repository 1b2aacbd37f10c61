"""Hashing of passwords. Source: OWASP password storage; NIST SP 800-63B, section 3.1.1.2."""

import asyncio
import unicodedata
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeVar
from uuid import uuid4

from passlib.context import CryptContext
from passlib.hash import bcrypt_sha256

from services.api.auth.fair_queue import MAX_IN_ALL, MAX_OF_NETWORK, FairQueue

HASHERS: Final = 2
LEAST_ROUNDS: Final = 4
"""bcrypt's own."""
MAX_NORMAL: Final = 4096
"""Characters of a password in its normal form, of which one typed character may become 18. passlib hashes no more."""

Result = TypeVar("Result")


class Verdict(NamedTuple):
    """Whether a password is right, and a hash to keep instead of the old one; None where the old one is as good."""

    right: bool
    better_hash: str | None = None


def normalized(password: str) -> str:
    """A password in the form in which it is hashed, NFKC: however a keyboard writes a character, it is the same one.

    NIST asks for NFKC or NFKD. The profile OpaqueString (RFC 8265) has NFC, which takes a full-width letter, or a space that
    does not break, for another character than the plain one: keyboards differ in both.
    """
    return unicodedata.normalize("NFKC", password)


def too_long(password: str) -> bool:
    """Whether a password's normal form is too long to be hashed."""
    return len(normalized(password)) > MAX_NORMAL


def rounds_of(password_hash: str | None) -> int | None:
    """The cost that a hash has; None for none, and for any other text, by which an operator may lock an account."""
    if password_hash is None:
        return None
    try:
        rounds: int = bcrypt_sha256.from_string(password_hash).rounds
    except ValueError:
        return None
    return rounds


class Passwords:
    """Hashes passwords on threads of its own, since a bcrypt hash takes a quarter of a second.

    The scheme is bcrypt_sha256, since plain bcrypt refuses passwords of more than 72 bytes. `rounds` is the cost of new
    hashes. `of_network` and `in_all` bound who waits for a thread.
    """

    def __init__(self, *, rounds: int, of_network: int = MAX_OF_NETWORK, in_all: int = MAX_IN_ALL) -> None:
        self.rounds = rounds
        self._context = CryptContext(schemes=["bcrypt_sha256"], bcrypt_sha256__rounds=rounds)
        self._threads = ThreadPoolExecutor(HASHERS, thread_name_prefix="password")
        self._queue = FairQueue(HASHERS, of_network=of_network, in_all=in_all)
        # The hash of a text that nobody knows. With another cost in it, it is the hash of no text at all.
        self._dummy_hash: str = bcrypt_sha256.using(rounds=LEAST_ROUNDS).hash(uuid4().hex)

    @asynccontextmanager
    async def hasher(self, network: str, account: str) -> AsyncIterator["Hasher"]:
        """Wait for a thread, and have it until the block ends.

        Raises:
            TooBusy: too many passwords wait, of this network or of all.

        """
        async with self._queue.take(network, account):
            yield Hasher(self._context, self._threads)

    def dummy_hash(self, rounds: int) -> str:
        """A hash of this cost that no password has: what a password without an account is compared with."""
        return self._dummy_hash.replace(f"r={LEAST_ROUNDS}$", f"r={rounds}$")

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)


@dataclass(frozen=True, slots=True)
class Hasher:
    """A thread that hashes, for one password."""

    _context: CryptContext
    _threads: ThreadPoolExecutor

    async def hash(self, password: str) -> str:
        """The hash of a password that is not too long."""
        return await self._run(lambda: self._hash(password))

    async def verify(self, password: str, password_hash: str) -> Verdict:
        """Whether a password is right. A right one is hashed anew when its hash has another cost than new ones have.

        Hashes of older releases are of passwords as they were typed. So a password that has another form is tried in
        both, and gets a hash of its normal form. One that is too long in that form can only be right as it was typed, and
        keeps its hash.
        """
        return await self._run(lambda: self._verify(password, password_hash))

    def _verify(self, password: str, password_hash: str) -> Verdict:
        normal = password if too_long(password) else normalized(password)
        if self._context.verify(normal, password_hash):
            outdated = self._context.needs_update(password_hash)
            return Verdict(right=True, better_hash=self._hash(normal) if outdated else None)
        if password != normal and self._context.verify(password, password_hash):
            return Verdict(right=True, better_hash=self._hash(normal))
        return Verdict(right=False)

    def _hash(self, password: str) -> str:
        hashed: str = self._context.hash(normalized(password))
        return hashed

    async def _run(self, work: Callable[[], Result]) -> Result:
        """Run this on a thread. Who is cancelled waits for the thread, which nobody else gets before it is free."""
        running = asyncio.get_running_loop().run_in_executor(self._threads, work)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            await asyncio.wait([running])
            raise
