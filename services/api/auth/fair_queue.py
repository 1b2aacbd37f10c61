"""A semaphore whose permits are given out fairly: no network waits because of another one's crowd.

Those who wait stand in a tree: wide networks, networks, accounts. On each floor the branches come in rotation, and the longest
one makes room.

Source: fair queueing with the longest queue dropped first (McKenney 1990, RFC 7806).
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from services.api.networks import wide_network_of
from shared.errors import TooBusy

MAX_OF_NETWORK: Final = 200
MAX_IN_ALL: Final = 1000
_ALL, _NETWORK = 0, 2
"""Floors of the tree."""

_Waiter = asyncio.Future[None]


class _Waiters:
    """A branch: those who wait in it, by their next branch, or in a row where it has no branches."""

    def __init__(self) -> None:
        self.length = 0
        self.branches: dict[str, _Waiters] = {}
        self._row: deque[_Waiter] = deque()

    def join(self, path: Sequence[str], waiter: _Waiter) -> None:
        """Put one at the end of the row that `path` leads to."""
        self.length += 1
        if path:
            self.branches.setdefault(path[0], _Waiters()).join(path[1:], waiter)
        else:
            self._row.append(waiter)

    def leave(self, path: Sequence[str], waiter: _Waiter) -> bool:
        """Take one out who gave up. False for one who does not wait any more."""
        if path:
            branch = self.branches.get(path[0])
            if branch is None or not branch.leave(path[1:], waiter):
                return False
            self._prune(path[0])
        elif waiter in self._row:
            self._row.remove(waiter)
        else:
            return False
        self.length -= 1
        return True

    def next(self) -> _Waiter:
        """Take the first one out of the branch that is next. Somebody waits."""
        self.length -= 1
        if not self.branches:
            return self._row.popleft()
        name = next(iter(self.branches))
        branch = self.branches.pop(name)
        waiter = branch.next()
        if branch.length:
            self.branches[name] = branch  # behind the others
        return waiter

    def drop(self) -> _Waiter:
        """Take the newest one out of the longest branch. Somebody waits."""
        self.length -= 1
        if not self.branches:
            return self._row.pop()
        name = self._longest()
        waiter = self.branches[name].drop()
        self._prune(name)
        return waiter

    def length_of(self, path: Sequence[str]) -> int:
        """How many wait in the branch that `path` leads to."""
        if not path:
            return self.length
        branch = self.branches.get(path[0])
        return branch.length_of(path[1:]) if branch else 0

    def make_room(self, path: Sequence[str], floor: int) -> _Waiter:
        """Take one out for another who comes by `path`: of the first longer branch beside his way, from this floor on.

        Raises:
            TooBusy: nowhere beside his way more of others wait.

        """
        if not path:
            raise TooBusy
        longest, own = self._longest(), self.branches.get(path[0])
        if not floor and self.branches[longest].length > (own.length if own else 0) + 1:
            dropped = self.branches[longest].drop()
            self._prune(longest)
        elif own:
            dropped = own.make_room(path[1:], max(0, floor - 1))
            self._prune(path[0])
        else:
            raise TooBusy
        self.length -= 1
        return dropped

    def _longest(self) -> str:
        return max(self.branches, key=lambda name: self.branches[name].length)

    def _prune(self, name: str) -> None:
        if not self.branches[name].length:
            del self.branches[name]


class FairQueue:
    """Gives out `permits` at a time: to wide networks in rotation, then to their networks, then to accounts.

    At most `of_network` wait for a network and `in_all` for all of them. When that many wait, one of the longest branch
    makes room for one of a shorter branch.
    """

    def __init__(self, permits: int, *, of_network: int = MAX_OF_NETWORK, in_all: int = MAX_IN_ALL) -> None:
        self._free = permits
        self._of_network = of_network
        self._in_all = in_all
        self._waiters = _Waiters()

    @property
    def waiting(self) -> int:
        """How many wait."""
        return self._waiters.length

    @asynccontextmanager
    async def take(self, network: str, account: str) -> AsyncIterator[None]:
        """Wait for a permit, and have it until the block ends. Who is cancelled waits no more.

        Raises:
            TooBusy: too many of this network wait, or of all networks.

        """
        if self._free:
            self._free -= 1
        else:
            await self._wait([wide_network_of(network), network, account])
        try:
            yield
        finally:
            self._pass_on()

    async def _wait(self, path: Sequence[str]) -> None:
        self._make_room(path)
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.join(path, waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.cancelled():
                self._waiters.leave(path, waiter)
            elif waiter.exception() is None:
                self._pass_on()  # the permit came at the same moment
            raise

    def _make_room(self, path: Sequence[str]) -> None:
        """Drop another one, or refuse this one, where too many would wait.

        Raises:
            TooBusy: no others have more who wait.

        """
        if self._waiters.length_of(path[:_NETWORK]) >= self._of_network:
            dropped = self._waiters.make_room(path, _NETWORK)
        elif self._waiters.length >= self._in_all:
            dropped = self._waiters.make_room(path, _ALL)
        else:
            return
        if not dropped.done():  # else it was cancelled, and leaves by itself
            dropped.set_exception(TooBusy())

    def _pass_on(self) -> None:
        """Give a permit to the next one."""
        while self._waiters.length:
            waiter = self._waiters.next()
            if not waiter.done():
                waiter.set_result(None)
                return
        self._free += 1
