"""A semaphore whose permits are given out fairly: no network waits because of another one's crowd.

Source: fair queueing with the longest queue dropped first (McKenney 1990, RFC 7806).
"""

import asyncio
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from shared.errors import TooBusy

MAX_OF_NETWORK: Final = 200
MAX_IN_ALL: Final = 1000


class _Waiters:
    """Those of one network who wait, by account. The accounts come in rotation."""

    def __init__(self) -> None:
        self.length = 0
        self._accounts: dict[str, deque[asyncio.Future[None]]] = {}

    def join(self, account: str, waiter: asyncio.Future[None]) -> None:
        self._accounts.setdefault(account, deque()).append(waiter)
        self.length += 1

    def leave(self, account: str, waiter: asyncio.Future[None]) -> bool:
        """Take one out who gave up. False for one who does not wait any more."""
        waiters = self._accounts.get(account, ())
        if waiter not in waiters:
            return False
        self._accounts[account].remove(waiter)
        self._took_from(account)
        return True

    def next(self) -> asyncio.Future[None]:
        """Take the first one out of the account that is next. Somebody waits."""
        account = next(iter(self._accounts))
        waiters = self._accounts.pop(account)
        waiter = waiters.popleft()
        if waiters:
            self._accounts[account] = waiters  # behind the other accounts
        self.length -= 1
        return waiter

    def drop(self) -> asyncio.Future[None]:
        """Take the newest one out of the account that has most of them. Somebody waits."""
        account = max(self._accounts, key=lambda name: len(self._accounts[name]))
        waiter = self._accounts[account].pop()
        self._took_from(account)
        return waiter

    def _took_from(self, account: str) -> None:
        self.length -= 1
        if not self._accounts[account]:
            del self._accounts[account]


class FairQueue:
    """Gives out `permits` at a time: to the network that has fewest of them, of those in rotation; so to its accounts.

    At most `of_network` wait for each network and `in_all` for all of them. When that many wait, one of the network
    with most of them makes room for one of a network with fewer.
    """

    def __init__(self, permits: int, *, of_network: int = MAX_OF_NETWORK, in_all: int = MAX_IN_ALL) -> None:
        self._free = permits
        self._of_network = of_network
        self._in_all = in_all
        self._waiting = 0
        self._networks: dict[str, _Waiters] = {}
        self._permitted = Counter[str]()

    @property
    def waiting(self) -> int:
        """How many wait."""
        return self._waiting

    @asynccontextmanager
    async def take(self, network: str, account: str) -> AsyncIterator[None]:
        """Wait for a permit, and have it until the block ends. Who is cancelled waits no more.

        Raises:
            TooBusy: too many of this network wait, or of all networks.

        """
        if self._free:
            self._free -= 1
        else:
            await self._wait(network, account)
        self._permitted[network] += 1
        try:
            yield
        finally:
            self._permitted[network] -= 1
            if not self._permitted[network]:
                del self._permitted[network]
            self._pass_on()

    async def _wait(self, network: str, account: str) -> None:
        self._make_room(network)
        waiter = asyncio.get_running_loop().create_future()
        self._networks.setdefault(network, _Waiters()).join(account, waiter)
        self._waiting += 1
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.cancelled():
                self._leave(network, account, waiter)
            elif waiter.exception() is None:
                self._pass_on()  # the permit came at the same moment
            raise

    def _make_room(self, network: str) -> None:
        """Refuse one who would be too many, or drop another one instead.

        Raises:
            TooBusy: this network has as many who wait as it may have, or as many wait in all, and no network has more of them.

        """
        waiters = self._networks.get(network)
        length = waiters.length if waiters else 0
        if length >= self._of_network:
            raise TooBusy
        if self._waiting >= self._in_all:
            longest = max(self._networks, key=lambda name: self._networks[name].length)
            if self._networks[longest].length <= length + 1:
                raise TooBusy
            dropped = self._networks[longest].drop()
            self._took_from(longest)
            if not dropped.done():  # else it was cancelled, and leaves by itself
                dropped.set_exception(TooBusy())

    def _leave(self, network: str, account: str, waiter: asyncio.Future[None]) -> None:
        waiters = self._networks.get(network)
        if waiters is not None and waiters.leave(account, waiter):
            self._took_from(network)

    def _took_from(self, network: str) -> None:
        self._waiting -= 1
        if not self._networks[network].length:
            del self._networks[network]

    def _pass_on(self) -> None:
        """Give a permit to the next one."""
        while self._networks:
            network = min(self._networks, key=self._permitted.__getitem__)  # the first one of those that have as many
            self._networks[network] = self._networks.pop(network)  # behind the other networks
            waiter = self._networks[network].next()
            self._took_from(network)
            if not waiter.done():
                waiter.set_result(None)
                return
        self._free += 1
