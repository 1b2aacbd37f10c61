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
from shared.ids import GenerationId
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
    on several of a generation's `channels`, at once, is distributed once. `control` is a channel that nobody publishes on.
    """

    def __init__(
        self,
        *,
        connect: Callable[[], AbstractConnection],
        heads: Callable[[Sequence[GenerationId]], Awaitable[list[Offset | None]]],
        control: str,
        channels: Callable[[GenerationId], Sequence[str]],
        subscriptions: Subscriptions,
        keep_alive: float,
    ) -> None:
        self._connect = connect
        self._heads = heads
        self._control = control
        self._channels = channels
        self._subscriptions = subscriptions
        self._keep_alive = keep_alive
        self._connection: AbstractConnection | None = None
        self._by_channel: dict[bytes, GenerationId] = {}
        self._last: dict[GenerationId, int] = {}
        self._uncopied: dict[GenerationId, tuple[bytes, bytes]] = {}
        self._confirmed: dict[GenerationId, asyncio.Event] = {}
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

    async def subscribe(self, generation_id: GenerationId) -> QueueSubscription:
        """Add a subscription, and return once Redis has confirmed it.

        Raises:
            StreamsUnavailable: not confirmed within 5 seconds.

        """
        first = generation_id not in self._subscriptions
        subscription = self._subscriptions.add(generation_id)
        if first:
            channels = self._channels(generation_id)
            self._by_channel |= {channel.encode(): generation_id for channel in channels}
            if len(channels) > 1:
                self._uncopied[generation_id] = (b"", b"")
            self._confirmed[generation_id] = asyncio.Event()
        try:
            async with asyncio.timeout(CONFIRM_WITHIN):
                if first:
                    await self._send("SUBSCRIBE", *self._channels(generation_id))
                await self._confirmed[generation_id].wait()
        except BaseException as error:
            await self.unsubscribe(generation_id, subscription)
            if isinstance(error, TimeoutError):
                raise StreamsUnavailable from error
            raise
        return subscription

    async def unsubscribe(self, generation_id: GenerationId, subscription: QueueSubscription) -> None:
        """Remove a subscription, and with a generation's last one its subscription at Redis."""
        if self._subscriptions.remove(generation_id, subscription):
            for channel in self._channels(generation_id):
                self._by_channel.pop(channel.encode(), None)
            self._uncopied.pop(generation_id, None)
            self._confirmed.pop(generation_id, None)
            self._last.pop(generation_id, None)
            await self._send("UNSUBSCRIBE", *self._channels(generation_id))

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
                channels = [
                    channel
                    for generation_id in self._subscriptions.generations()
                    for channel in self._channels(generation_id)
                ]
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
        generation_id = self._by_channel.get(channel)
        if generation_id is None:
            return
        if kind == b"message":
            if self._is_copy(generation_id, channel, payload):
                return
            entry = parse(payload)
            if entry.offset == BEGINNING:
                for subscription in self._subscriptions.of(generation_id):
                    subscription.notify_transient(entry.frame)
                return
            self._last[generation_id] = entry.offset.sequence
            for subscription in self._subscriptions.of(generation_id):
                subscription.notify(entry)
        elif kind == b"subscribe" and channel == self._channels(generation_id)[-1].encode():
            if self._confirmed[generation_id].is_set():
                # Confirmed again, after a reconnect: what was published in between is in the log only.
                for subscription in self._subscriptions.of(generation_id):
                    subscription.miss()
            self._confirmed[generation_id].set()

    def _is_copy(self, generation_id: GenerationId, channel: bytes, payload: bytes) -> bool:
        """Whether the message before was the same, on another of the generation's channels."""
        before = self._uncopied.get(generation_id)
        if before is None:
            return False  # there is one channel
        is_copy = before[0] != channel and before[1] == payload
        self._uncopied[generation_id] = (channel, b"" if is_copy else payload)
        return is_copy

    def _all_missed(self) -> None:
        for generation_id in self._subscriptions.generations():
            for subscription in self._subscriptions.of(generation_id):
                subscription.miss()

    async def _watch_quiet_logs(self) -> None:
        """Once a second, compare the heads of quiet logs with what has come; notify everybody at each keep-alive interval."""
        clock = asyncio.get_running_loop().time
        next_tick = clock() + self._keep_alive
        before: dict[GenerationId, int] = {}
        while True:
            await asyncio.sleep(min(WATCH_EVERY, self._keep_alive))
            quiet = [g for g in self._subscriptions.generations() if before.get(g) == self._last.get(g, 0)]
            before = {g: self._last.get(g, 0) for g in self._subscriptions.generations()}
            with suppress(StreamsUnavailable):
                await self._compare(quiet)
            if clock() >= next_tick:
                next_tick = clock() + self._keep_alive
                self._subscriptions.tick()

    async def _compare(self, quiet: Sequence[GenerationId]) -> None:
        if not quiet:
            return
        for generation_id, head in zip(quiet, await self._heads(quiet), strict=True):
            sequence = (head or BEGINNING).sequence
            if generation_id in self._subscriptions and sequence != self._last.get(generation_id, 0):
                self._last[generation_id] = sequence
                for subscription in self._subscriptions.of(generation_id):
                    subscription.miss()


def parse(payload: bytes) -> Entry:
    r"""The entry that was published as `<attempt>-<sequence> <terminal>\n<frame>`. A transient frame has the offset BEGINNING."""
    header, _, frame = payload.partition(b"\n")
    offset, _, terminal = header.partition(b" ")
    attempt, _, sequence = offset.partition(b"-")
    return Entry(Offset(int(attempt), int(sequence)), frame, terminal == b"1")
