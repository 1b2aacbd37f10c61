"""All connections of clients: how many there may be, and how long each may take.

A network has a share of them, so that one client can't take all. Where a limit is reached, the connection that has waited
longest for a whole request makes room for the new one: one that is kept open for a later request, or one that is slow to
send its request. A connection whose request is being answered, or whose answer is not sent whole, is never ended to make
room.
"""

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from services.api.http1.refusals import ALL_FULL, NETWORK_FULL, Refusal
from services.api.networks import network_of
from shared.telemetry.logs import get_logger

log = get_logger(__name__)

LOOK_EVERY: Final = 1.0
"""Seconds between two looks at all connections; less where a timeout is shorter than four of them."""
LOOK_AT: Final = 100
"""How many connections are looked at before the event loop may do something else: a few milliseconds if all are ended."""
TELL_EVERY: Final = 10.0
"""Seconds between two lines of the log about refused connections, since a flood must not become one of the log."""


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """How many connections there may be, `in_all` and `per_network`; and how long each may take, in seconds.

    `head_seconds` are from the accept, or from the first byte of a later request, to the end of its head. `body_seconds`
    may pass without a byte of a body, and a body has so many and one more for each MIN_RATE bytes. `send_seconds` may pass
    in which a client takes nothing of an answer that has been made.
    """

    in_all: int
    per_network: int
    head_seconds: float = 10
    body_seconds: float = 20
    send_seconds: float = 30

    @property
    def look_every(self) -> float:
        """Seconds between two looks at all connections."""
        return min(LOOK_EVERY, min(self.head_seconds, self.body_seconds, self.send_seconds) / 4)


class Connection(Protocol):
    """One connection, as its limits see it."""

    def look(self, now: float) -> None:
        """End the connection if it takes too long. `now` is the event loop's clock, in seconds."""

    def drop(self) -> None:
        """End the connection at once, to make room for another."""


class Connections:
    """The open connections of one process."""

    def __init__(self, limits: ConnectionLimits, is_proxy: Callable[[str | None], bool]) -> None:
        """`is_proxy` tells trusted proxies by their addresses: each stands for many clients, so it is no network."""
        self.limits = limits
        self._is_proxy = is_proxy
        self._networks: dict[Connection, str | None] = {}
        self._counts = Counter[str]()
        self._waiting = OrderedDict[Connection, None]()
        self._waiting_of: dict[str, OrderedDict[Connection, None]] = {}
        self._looks = False
        self._refused = Counter[str]()

    def __len__(self) -> int:
        return len(self._networks)

    def admit(self, connection: Connection, address: str | None) -> Refusal | None:
        """Count a new connection, which waits for its first request. Returns why it is refused, if it is."""
        network = None if self._is_proxy(address) else network_of(address)
        refusal = None
        if network is not None and self._counts[network] >= self.limits.per_network:
            refusal = self._make_room(self._waiting_of.get(network), NETWORK_FULL)
        if refusal is None and len(self._networks) >= self.limits.in_all:
            refusal = self._make_room(self._waiting, ALL_FULL)
        if refusal is not None:
            self._tell(refusal.code)
            return refusal
        self._networks[connection] = network
        if network is not None:
            self._counts[network] += 1
        self.waits(connection)
        if not self._looks:
            self._looks = True
            asyncio.get_running_loop().call_later(self.limits.look_every, self._look)
        return None

    def waits(self, connection: Connection) -> None:
        """Note that a connection waits for a whole request from now on."""
        if connection not in self._networks:
            return
        self._waiting[connection] = None
        self._waiting.move_to_end(connection)
        network = self._networks[connection]
        if network is not None:
            mine = self._waiting_of.setdefault(network, OrderedDict())
            mine[connection] = None
            mine.move_to_end(connection)

    def works(self, connection: Connection) -> None:
        """Note that a connection has a whole request."""
        self._waiting.pop(connection, None)
        network = self._networks.get(connection)
        if network is not None and (mine := self._waiting_of.get(network)) is not None:
            mine.pop(connection, None)
            if not mine:
                del self._waiting_of[network]

    def remove(self, connection: Connection) -> None:
        """Count a connection no more. It may have been removed before."""
        self.works(connection)
        network = self._networks.pop(connection, None)
        if network is not None:
            self._counts[network] -= 1
            if not self._counts[network]:
                del self._counts[network]

    def _make_room(self, waiting: OrderedDict[Connection, None] | None, otherwise: Refusal) -> Refusal | None:
        if not waiting:
            return otherwise
        longest = next(iter(waiting))
        self.remove(longest)
        longest.drop()
        self._tell("dropped")
        return None

    def _look(self) -> None:
        everyone = list(self._networks)
        self._looks = bool(everyone)
        if everyone:
            self._look_at(everyone)

    def _look_at(self, rest: list[Connection]) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for connection in rest[-LOOK_AT:]:
            connection.look(now)
        del rest[-LOOK_AT:]
        if rest:
            loop.call_soon(self._look_at, rest)
        else:
            loop.call_later(self.limits.look_every, self._look)

    def _tell(self, why: str) -> None:
        """Log what was refused, or dropped to make room, but not more often than TELL_EVERY."""
        if not self._refused:
            asyncio.get_running_loop().call_later(TELL_EVERY, self._told)
            log.warning("connections_full", why=why, open=len(self))
        self._refused[why] += 1

    def _told(self) -> None:
        log.warning("connections_were_full", open=len(self), **self._refused)
        self._refused.clear()
