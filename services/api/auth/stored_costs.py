"""Which costs the kept hashes have, so that a try without an account takes as long as one with an account.

BCRYPT_ROUNDS says the cost of new hashes only: others keep theirs until their owners log in.
"""

import hashlib
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from sqlalchemy import ARRAY, BigInteger, any_, func, literal, select

from services.api.auth.passwords import rounds_of
from shared.database.engine import Connection
from shared.database.tables import User

SAMPLE: Final = 1000
LOOK_EVERY: Final = 600.0
"""Seconds. Costs change slowly: with each login of somebody whose hash has an old one."""


class StoredCosts:
    """Says for an e-mail address without an account which cost its hash would have.

    Addresses get the costs in the proportion in which accounts have them, and each address keeps its own: asked again, it
    takes as long again. The secret `key` says which: else one who knows the proportion could tell who has an account.
    `find` gets the costs of some accounts. `default` is for when there are none.
    """

    def __init__(
        self,
        find: Callable[[], Awaitable[Sequence[int]]],
        default: int,
        *,
        key: bytes,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._find = find
        self._key = key
        self._clock = clock
        self._costs: Sequence[int] = (default,)
        self._due = 0.0

    async def look(self) -> None:
        """Look at the accounts again, when that was long ago.

        Raises:
            SQLAlchemyError: the database can't be reached, or fails.

        """
        if self._clock() < self._due:
            return
        self._due = self._clock() + LOOK_EVERY  # before waiting: of those who come at once, one looks
        found: Sequence[int] | None = None
        try:
            found = await self._find()
        finally:
            if found is None:  # it failed, or was cancelled
                self._due = 0.0  # the next one looks: until then the costs may be old
        self._costs = sorted(found) or self._costs

    def of(self, email: str) -> int:
        """The cost for this address."""
        place = int.from_bytes(hashlib.blake2b(email.encode(), key=self._key, digest_size=8).digest()) / 2**64
        return self._costs[int(place * len(self._costs))]


async def find_costs(db: Connection) -> list[int]:
    """The costs of up to SAMPLE accounts, of old and new ones alike."""
    last = await db.scalar(select(func.max(User.id))) or 0
    chosen = random.sample(range(1, last + 1), min(SAMPLE, last))
    hashes = await db.scalars(select(User.password_hash).where(User.id == any_(literal(chosen, ARRAY(BigInteger)))))
    return [rounds for each in hashes if (rounds := rounds_of(each)) is not None]
