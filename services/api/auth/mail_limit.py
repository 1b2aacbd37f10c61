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
        self._limits = (to_address, of_network)
        self._local = LocalCounts(WINDOW)
        self._shared = SharedCounts(tries)

    async def take(self, network: str, address: str) -> None:
        """Count a mail.

        Raises:
            TooManyMails: there were too many this hour.

        """
        names = self._tries.name("mails_address", address.lower()), self._tries.name("mails_network", network)
        limits = {name: limit for name, limit in zip(names, self._limits, strict=True) if limit}
        if not limits:
            return
        here = [self._local.add(name) for name in limits]
        counts = await self._shared.add(dict.fromkeys(limits, WINDOW)) or here
        over = [count.left for count, limit in zip(counts, limits.values(), strict=True) if count.number > limit]
        if over:
            raise TooManyMails(ceil(max(over)))
