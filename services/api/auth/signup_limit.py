"""How many accounts are made from a network."""

from math import ceil
from typing import Final

from services.api.auth.local_counts import LocalCounts
from services.api.auth.shared_counts import SharedCounts, TriesInRedis
from shared.errors import TooManySignups

WINDOW: Final = 3600
"""Seconds."""


class SignupLimit:
    """Counts sign-ups by network, also those that were refused since the address was taken: each costs a hash.

    `limit` is how many there may be an hour; 0 means any number.
    """

    def __init__(self, tries: TriesInRedis, limit: int) -> None:
        self._tries = tries
        self._limit = limit
        self._local = LocalCounts(WINDOW)
        self._shared = SharedCounts(tries)

    async def take(self, network: str) -> None:
        """Count a sign-up.

        Raises:
            TooManySignups: there were too many this hour.

        """
        if not self._limit:
            return
        name = self._tries.name("signups", network)
        here = self._local.add(name)
        found = await self._shared.add({name: WINDOW})
        count = here if found is None else found[0]
        if count.number > self._limit:
            raise TooManySignups(ceil(count.left))
