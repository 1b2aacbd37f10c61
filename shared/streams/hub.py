"""The hub: one pub/sub connection for all the readers of a process, however many there are.

Pub/sub only notifies and the log is the truth, so the hub may lose messages as long as it says so. When its connection breaks,
when a subscription is confirmed again, or when a log's head has moved without a message, the hub notifies the readers that they
may have missed frames, and they read the log. Measured reasons: docs/protocol.md §4.
"""

import asyncio
import math
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Final, Self

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError

from shared import background
from shared.errors import StreamsUnavailable
from shared.streams.names import LogNames
from shared.streams.port import BEGINNING, Entry, Offset
from shared.streams.subscriptions import QueueSubscription, Subscriptions
from shared.telemetry.logs import get_logger

log = get_logger(__name__)

# Redis drops a connection from pub/sub mode after its last unsubscribe; this channel is never left.
CONTROL: Final = "cortexai:hub"
CONFIRM_WITHIN: Final = 5.0
RECONNECT_AFTER: Final = (0.05, 0.1, 0.2, 0.5, 1.0)
WATCH_EVERY: Final = 1.0


class Hub:
    """Distributes published frames to subscriptions. Use it as an async context manager.

    `connect` makes an unconnected connection; `heads` answers the last offset of each of some logs. A frame that is published
    on several of a log's channels, at once, is distributed once. `control` is a channel that nobody publishes on.
    """

    def __init__(
        self,
        *,
        connect: Callable[[], AbstractConnection],
        heads: Callable[[Sequence[LogNames]], Awaitable[list[Offset | None]]],
        control: str,
        subscriptions: Subscriptions[LogNames],
        keep_alive: float,
    ) -> None:
        self._connect = connect
        self._heads = heads
        self._control = control
        self._subscriptions = subscriptions
        self._keep_alive = keep_alive
        self._connection: AbstractConnection | None = None
        self._by_channel: dict[bytes, LogNames] = {}
        self._last: dict[LogNames, int] = {}
        self._uncopied: dict[LogNames, tuple[bytes, bytes]] = {}
        self._confirmed: dict[LogNames, asyncio.Event] = {}
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._watch_quiet_logs())]
        return self

    async def __aexit__(self, *_: object) -> None:
        await background.end(*self._tasks)

    @property
    def readers(self) -> int:
        """How many subscriptions there are."""
        return len(self._subscriptions)

    async def subscribe(self, names: LogNames) -> QueueSubscription:
        """Add a subscription, and return once Redis has confirmed it.

        Raises:
            StreamsUnavailable: not confirmed within 5 seconds.

        """
        first = names not in self._subscriptions
        subscription = self._subscriptions.add(names)
        if first:
            channels = names.channels
            self._by_channel |= {channel.encode(): names for channel in channels}
            if len(channels) > 1:
                self._uncopied[names] = (b"", b"")
            self._confirmed[names] = asyncio.Event()
        try:
            async with asyncio.timeout(CONFIRM_WITHIN):
                if first:
                    await self._send("SUBSCRIBE", *names.channels)
                await self._confirmed[names].wait()
        except BaseException as error:
            await self.unsubscribe(names, subscription)
            if isinstance(error, TimeoutError):
                raise StreamsUnavailable from error
            raise
        return subscription

    async def unsubscribe(self, names: LogNames, subscription: QueueSubscription) -> None:
        """Remove a subscription, and with a log's last one its subscription at Redis."""
        if self._subscriptions.remove(names, subscription):
            for channel in names.channels:
                self._by_channel.pop(channel.encode(), None)
            self._uncopied.pop(names, None)
            self._confirmed.pop(names, None)
            self._last.pop(names, None)
            await self._send("UNSUBSCRIBE", *names.channels)

    async def _send(self, *command: str) -> None:
        """Send on the hub's connection; when there is none, the next connection subscribes to everything anyway."""
        if self._connection is not None:
            with suppress(RedisError, OSError):
                await self._connection.send_command(*command, check_health=False)

    async def _listen(self) -> None:
        """Keep a connection and distribute what comes, for ever."""
        failures = 0
        while True:
            connection = self._connect()
            try:
                await connection.connect()  # type: ignore[no-untyped-call]
                channels = [channel for names in self._subscriptions.logs() for channel in names.channels]
                self._connection = connection
                await connection.send_command("SUBSCRIBE", self._control, *channels, check_health=False)
                while True:
                    self._take(await connection.read_response(timeout=math.inf))
                    failures = 0
            except (RedisError, OSError) as error:
                log.warning("hub_connection_lost", error=type(error).__name__, readers=self.readers)
            finally:
                self._connection = None
                self._all_missed()
                await connection.disconnect(nowait=True)
            await asyncio.sleep(RECONNECT_AFTER[min(failures, len(RECONNECT_AFTER) - 1)])
            failures += 1

    def _take(self, message: Sequence[Any]) -> None:
        """Distribute one pub/sub message."""
        kind, channel, payload = message
        names = self._by_channel.get(channel)
        if names is None:
            return
        if kind == b"message":
            if not self._is_copy(names, channel, payload):
                self._distribute(names, payload)
        elif kind == b"subscribe" and channel == names.channels[-1].encode():
            if self._confirmed[names].is_set():
                # Confirmed again, after a reconnect: what was published in between is in the log only.
                for subscription in self._subscriptions.of(names):
                    subscription.miss()
            self._confirmed[names].set()

    def _distribute(self, names: LogNames, payload: bytes) -> None:
        """Notify a log's subscriptions of a frame."""
        try:
            entry = parse(payload)
        except ValueError:
            log.warning("message_ignored", bytes=len(payload))  # anybody on this Redis may publish
            return
        if entry.offset == BEGINNING:
            for subscription in self._subscriptions.of(names):
                subscription.notify_transient(entry.frame)
            return
        self._last[names] = entry.offset.sequence
        for subscription in self._subscriptions.of(names):
            subscription.notify(entry)

    def _is_copy(self, names: LogNames, channel: bytes, payload: bytes) -> bool:
        """Whether the message before was the same, on another of the log's channels."""
        before = self._uncopied.get(names)
        if before is None:
            return False  # there is one channel
        is_copy = before[0] != channel and before[1] == payload
        self._uncopied[names] = (channel, b"" if is_copy else payload)
        return is_copy

    def _all_missed(self) -> None:
        for names in self._subscriptions.logs():
            for subscription in self._subscriptions.of(names):
                subscription.miss()

    async def _watch_quiet_logs(self) -> None:
        """Once a second, compare the heads of quiet logs with what has come; notify everybody at each keep-alive interval.

        Logs that are not brief are looked at at each keep-alive interval only.
        """
        clock = asyncio.get_running_loop().time
        next_tick = clock() + self._keep_alive
        before: dict[LogNames, int] = {}
        while True:
            await asyncio.sleep(min(WATCH_EVERY, self._keep_alive))
            ticks = clock() >= next_tick
            watched = [names for names in self._subscriptions.logs() if ticks or names.is_brief]
            quiet = [names for names in watched if before.get(names) == self._last.get(names, 0)]
            before = {names: self._last.get(names, 0) for names in self._subscriptions.logs()}
            with suppress(StreamsUnavailable):
                await self._compare(quiet)
            if ticks:
                next_tick = clock() + self._keep_alive
                self._subscriptions.tick()

    async def _compare(self, quiet: Sequence[LogNames]) -> None:
        if not quiet:
            return
        for names, head in zip(quiet, await self._heads(quiet), strict=True):
            sequence = (head or BEGINNING).sequence
            if names in self._subscriptions and sequence != self._last.get(names, 0):
                self._last[names] = sequence
                for subscription in self._subscriptions.of(names):
                    subscription.miss()


def parse(payload: bytes) -> Entry:
    r"""The entry that was published as `<attempt>-<sequence> <terminal>\n<frame>`. A transient frame has the offset BEGINNING."""
    header, _, frame = payload.partition(b"\n")
    offset, _, terminal = header.partition(b" ")
    attempt, _, sequence = offset.partition(b"-")
    return Entry(Offset(int(attempt), int(sequence)), frame, terminal == b"1")
