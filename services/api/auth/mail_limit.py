"""How many mails are asked for, from a network and to an address: whether or not the address has an account."""

from math import ceil
from typing import Final

from services.api.auth.local_counts import LocalCounts
from services.api.auth.shared_counts import SharedCounts, TriesInRedis
from shared.errors import TooManyMails

WINDOW: Final = 3600
"""Seconds."""


class MailLimit:
    """Counts mails that somebody asks for. `to_address` and `of_network` are how many there may be an hour; 0 means any number.

    Who uses up the count of somebody's address has links mailed there, of which each is good: the owner needs no other.
    """

    def __init__(self, tries: TriesInRedis, *, to_address: int, of_network: int) -> None:
        self._tries = tries
        self._to_address = to_address
        self._of_network = of_network
        self._local = LocalCounts(WINDOW)
        self._shared = SharedCounts(tries)

    async def take(self, network: str, address: str) -> None:
        """Count a mail: for the network, and for the address only if the network is not over its count.

        So a network can use up no more of the counts of others' addresses than its own count.

        Raises:
            TooManyMails: there were too many this hour.

        """
        await self._take(self._tries.name("mails_network", network), self._of_network)
        await self._take(self._tries.name("mails_address", address.lower()), self._to_address)

    async def _take(self, name: str, limit: int) -> None:
        if not limit:
            return
        here = self._local.add(name)
        found = await self._shared.add({name: WINDOW})
        count = here if found is None else found[0]
        if count.number > limit:
            raise TooManyMails(ceil(count.left))
