"""How many wrong passwords are tried. Source: OWASP authentication; NIST SP 800-63B, section 3.2.2.

Three things are counted a minute: the wrong tries at an account from one network, those from one network at all accounts, and
those at one account from all networks. Nobody can keep an owner out from elsewhere: the last count only stops networks from
which the account has never come in. And of what a network may try, the second half is for accounts that have come in from there,
so that strangers behind the same address can't use it up.

An address without an account has the same counts, so that no answer tells which accounts exist.
"""

from dataclasses import dataclass
from math import ceil
from typing import Final

from services.api.auth.known_networks import KnownNetworks
from services.api.auth.local_counts import NEVER, Count, LocalCounts
from services.api.auth.shared_counts import SharedCounts, TriesInRedis
from shared.errors import TooManyTries

WINDOW: Final = 60
"""Seconds."""
RESERVE: Final = 2
"""How many times its limit a network may try accounts that have come in from there."""


@dataclass(frozen=True, slots=True)
class TryLimits:
    """Wrong tries a minute: at an account `from_network`, `of_network` at all accounts, `at_account` from new networks.

    0 means no limit.
    """

    from_network: int
    of_network: int
    at_account: int

    def __bool__(self) -> bool:
        return bool(self.from_network or self.of_network or self.at_account)


class LoginTries:
    """Counts wrong tries, and refuses further ones.

    Counts are kept in Redis for all processes. Each process counts too: for the time without Redis, and for the tries that
    have begun before the first of them was found wrong.
    """

    def __init__(self, tries: TriesInRedis, limits: TryLimits) -> None:
        self.limits = limits
        self.tries = tries
        self.local = LocalCounts(WINDOW)
        self.shared = SharedCounts(tries)
        self.known = KnownNetworks(tries)

    async def begin(self, account: str, network: str) -> "Try":
        """A try that may be made. `account` is text that stands for one account, or for an address without one.

        Raises:
            TooManyTries: too many were wrong.

        """
        made = Try(self, account, network)
        if self.limits:
            await made.begin()
        return made


class Try:
    """One try. It is checked again before it is hashed, and noted as right or wrong."""

    def __init__(self, owner: LoginTries, account: str, network: str) -> None:
        self._owner = owner
        self._account = account
        self._network = network
        name = owner.tries.name
        self._pair = name("pair", account, network)
        self._of_network = name("network", network)
        self._at_account = name("account", account)
        self._names = self._pair, self._of_network, self._at_account
        self._elsewhere = dict.fromkeys(self._names, NEVER)
        """What had been counted when the try began, without what this process had counted."""

    async def begin(self) -> None:
        """Look at the counts of all processes.

        Raises:
            TooManyTries: too many were wrong.

        """
        found = await self._owner.shared.find(self._names)
        if found is not None:
            here = map(self._owner.local.find, self._names)
            # What this process has counted and not told yet is no part of what was found.
            counted = [
                Count(max(0, in_all.number - ours.number), in_all.left)
                for in_all, ours in zip(found, here, strict=True)
            ]
            self._elsewhere = dict(zip(self._names, counted, strict=True))
        await self.check()

    async def check(self) -> None:
        """Look again at what this process has counted: the try has waited.

        Raises:
            TooManyTries: too many were wrong.

        """
        told = self._owner.limits
        limits = {self._pair: told.from_network, self._of_network: told.of_network, self._at_account: told.at_account}
        counts = {name: self._count(name) for name, limit in limits.items() if limit}
        over = {name for name, count in counts.items() if count.number >= limits[name]}
        if over - {self._pair} and await self._owner.known.knows(self._account, self._network):
            over.discard(self._at_account)
            if counts.get(self._of_network, NEVER).number < told.of_network * RESERVE:
                over.discard(self._of_network)
        if over:
            raise TooManyTries(max(1, *(ceil(counts[name].left) for name in over)))

    def _count(self, name: str) -> Count:
        elsewhere, here = self._elsewhere[name], self._owner.local.find(name)
        return Count(elsewhere.number + here.number, max(elsewhere.left, here.left))

    def count_wrong(self) -> None:
        """Count a wrong try in this process, before the next one is checked."""
        if self._owner.limits:
            for name in self._names:
                self._owner.local.add(name)

    async def tell_wrong(self) -> None:
        """Count a wrong try for all processes."""
        if self._owner.limits:
            await self._owner.shared.add(dict.fromkeys(self._names, WINDOW))

    async def tell_right(self) -> None:
        """Forget the wrong tries at this account from this network, and remember that the account came in from there.

        The other counts stay: else one account of an attacker's own would clear what he has tried at others.
        """
        if self._owner.limits:
            self._owner.local.clear(self._pair)
            await self._owner.shared.clear(self._pair)
            await self._owner.known.remember(self._account, self._network)
