"""The stream log in one process's memory: the same promises as Redis's, for tests and for reading."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

from shared.errors import AppendRefused, AttemptSuperseded, LogClosed, LogDiverged
from shared.ids import GenerationId
from shared.streams.port import BEGINNING, Append, Entry, Offset, Subscription
from shared.streams.subscriptions import Subscriptions, followed


class InMemoryStreams:
    """Writer and Reader at once. After `keep_alive` quiet seconds a subscription gets an empty notification."""

    def __init__(self, *, keep_alive: float = 15.0) -> None:
        self._logs: dict[GenerationId, list[Entry]] = {}
        self._subscriptions = Subscriptions[GenerationId]()
        self._keep_alive = keep_alive

    async def append(self, appends: Sequence[Append]) -> list[int | AppendRefused]:
        """Append to several logs (Writer)."""
        return [self._append(append) for append in appends]

    def _append(self, append: Append) -> int | AppendRefused:
        log = self._logs.setdefault(append.generation_id, [])
        (owner, sequence), _, closed, _ = log[-1] if log else Entry(BEGINNING, b"")
        if owner > append.attempt:
            return AttemptSuperseded()
        if owner == append.attempt and (append.after is None or sequence == append.after + len(append.frames)):
            return sequence
        if closed:
            return LogClosed()
        is_others = bool(append.after) and owner != append.attempt and not append.rewrites_opening
        if is_others or append.after not in {None, sequence}:
            return LogDiverged(sequence, owner)
        for number, frame in enumerate(append.frames, start=1):
            terminal = append.terminal and number == len(append.frames)
            had_subscriber = not terminal or append.generation_id in self._subscriptions
            entry = Entry(Offset(append.attempt, sequence + number), frame, terminal, had_subscriber)
            log.append(entry)
            for subscription in self._subscriptions.of(append.generation_id):
                subscription.notify(entry)
        return sequence + len(append.frames)

    async def replay(self, generation_id: GenerationId, after: Offset, *, limit: int = 500) -> list[Entry]:
        """The frames past an offset (Reader)."""
        log = self._logs.get(generation_id, [])
        return [entry for entry in log if entry.offset.sequence > after.sequence][:limit]

    async def head(self, generation_id: GenerationId) -> Entry | None:
        """The log's last entry (Reader)."""
        log = self._logs.get(generation_id)
        return log[-1] if log else None

    async def keep(self, generation_id: GenerationId) -> None:
        """Keep a log (Reader): these logs expire never."""

    def follow(self, generation_id: GenerationId) -> AbstractAsyncContextManager[Subscription]:
        """Subscribe (Reader)."""
        return followed(self._subscriptions, generation_id, self._keep_alive)

    def lose(self, generation_id: GenerationId) -> None:
        """Forget a log, as a server does that loses its memory or expires it."""
        self._logs.pop(generation_id, None)
