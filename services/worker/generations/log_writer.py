"""Writing stream logs.

A log writer gathers the frames of one generation. The flusher appends for all log writers together, in one pipeline for
the whole process: the first token at once, later tokens every 25 ms (the setting FLUSH_INTERVAL_SECONDS).
Source: docs/protocol.md §1, rules 5 and 6.
"""

import asyncio
from collections.abc import Sequence
from typing import Final

from shared.errors import AppendRefused, AttemptSuperseded, LogDiverged, StreamsUnavailable
from shared.ids import GenerationId
from shared.protocol.encoding import encode_all
from shared.protocol.frames import Frame, join
from shared.streams.opening import open_attempt
from shared.streams.port import Append, Log, Writer
from shared.telemetry.logs import get_logger, with_bound_fields

log = get_logger(__name__)

RETRY_AFTER: Final = 0.25
SETTLE_WITHIN: Final = 5.0


class LogWriter:
    """Writes one generation's log for one attempt.

    `written` are the log's frames up to and with the attempt's opening frame. The log writer keeps every frame of the
    log. So it can write the log again, under the same sequences, when Redis has lost all of it or its end.
    """

    def __init__(self, flusher: "Flusher", generation_id: GenerationId, attempt: int, written: Sequence[bytes]) -> None:
        self._flusher = flusher
        self._generation_id = generation_id
        self.attempt = attempt
        self._written = list(written)
        self._opened_at = len(self._written)
        self._in_flight: tuple[bytes, ...] = ()
        self._waiting: list[Frame] = []
        self._closing = False
        self._refusal: AppendRefused | None = None
        self._settled = asyncio.Event()
        self._settled.set()
        self._log = with_bound_fields(log)  # the flusher's task writes for all generations

    @property
    def sequence(self) -> int:
        """The sequence of the last frame that is in the log."""
        return len(self._written)

    @property
    def has_left(self) -> bool:
        """Whether nothing is written any more."""
        return self._refusal is not None

    def write(self, frame: Frame, *, flush_now: bool = False) -> None:
        """Write a frame. A text or reasoning delta is added to the delta before, if that delta still waits.

        Raises:
            AppendRefused: the log is not this attempt's any more.

        """
        if self._refusal is not None:
            raise self._refusal
        if not (self._waiting and join(self._waiting[-1], frame)):
            self._waiting.append(frame)
        self._settled.clear()
        self._flusher.mark(self, flush_now=flush_now)

    async def close(self, *last: Frame) -> None:
        """Write the last frames, the terminal one last, and wait until the log has everything.

        Raises:
            AppendRefused: the log is not this attempt's any more.

        """
        self._closing = True
        for frame in last:
            self.write(frame, flush_now=True)
        await self.settled()

    async def settled(self) -> None:
        """Wait until the log has everything that was written.

        Raises:
            AppendRefused: the log is not this attempt's any more.

        """
        await self._settled.wait()
        if self._refusal is not None:
            raise self._refusal

    async def settled_in_time(self) -> bool:
        """Wait until the log has everything that was written, for SETTLE_WITHIN at most. Returns whether the log has.

        Without Redis the row has to do: the sweep writes the rest.

        Raises:
            AppendRefused: the log is not this attempt's any more.

        """
        try:
            async with asyncio.timeout(SETTLE_WITHIN):
                await self.settled()
        except TimeoutError:
            log.warning("log_behind")
            return False
        return True

    def leave(self) -> None:
        """Write nothing any more: the generation is over, or another attempt's.

        The fence is in Redis. A Redis that has lost the log has lost the fence too, and would take the log again.
        """
        self._refusal = AttemptSuperseded()
        self._waiting.clear()
        self._in_flight = ()
        self._settled.set()
        self._flusher.forget(self)

    def next_append(self) -> Append:
        """What has to be appended now. While the last append has no answer, this is the last append again."""
        if not self._in_flight:
            self._in_flight = encode_all(self._waiting)
            self._waiting.clear()
        return Append(
            self._generation_id,
            self.attempt,
            len(self._written),
            self._in_flight,
            terminal=self._closing and not self._waiting,
            rewrites_opening=len(self._written) < self._opened_at,
        )

    def answered(self, answer: int | AppendRefused) -> bool:
        """Take the answer to `next_append`. Returns whether there is more to append."""
        if self._refusal is not None:
            return False
        if isinstance(answer, LogDiverged) and self._can_rewrite(answer):
            # Redis lost the log or its end. The lost frames are appended again, in front of those in flight.
            self._log.warning("log_rewritten", generation_id=str(self._generation_id), kept=answer.last_sequence)
            self._in_flight = (*self._written[answer.last_sequence :], *self._in_flight)
            del self._written[answer.last_sequence :]
            return True
        if isinstance(answer, AppendRefused):
            self._refusal = answer
            self._in_flight = ()
            self._waiting.clear()
        else:
            self._written.extend(self._in_flight)
            self._in_flight = ()
        if self._waiting:
            return True
        self._settled.set()
        return False

    def _can_rewrite(self, log: LogDiverged) -> bool:
        """Whether the rest of the log is the beginning of what this log writer knows.

        The answer is no where an earlier attempt has written in the place of lost frames.
        """
        ours = log.owner == self.attempt
        return log.last_sequence < (len(self._written) if ours else self._opened_at)


class Flusher:
    """Opens the log writers of the process, and appends for all of them. `interval` is in seconds.

    Run `run` as a task.
    """

    def __init__(self, writer: Writer, stream_log: Log, *, interval: float) -> None:
        self._writer = writer
        self._stream_log = stream_log
        self._interval = interval
        self._marked: dict[LogWriter, None] = {}
        self._any = asyncio.Event()
        self._urgent = asyncio.Event()

    async def open(self, generation_id: GenerationId, attempt: int, opening: Frame) -> tuple[LogWriter, list[bytes]]:
        """Open an attempt's log. Returns its log writer, and the log's frames up to and with the opening frame.

        Waits for Redis as long as Redis needs.

        Raises:
            AppendRefused: a later attempt has opened the log, or the log is closed.

        """
        while True:
            try:
                written = await open_attempt(self._writer, self._stream_log, generation_id, attempt, opening)
            except StreamsUnavailable:
                log.warning("open_failed", generation_id=str(generation_id))
                await asyncio.sleep(RETRY_AFTER)
            else:
                return LogWriter(self, generation_id, attempt, written), written

    def mark(self, log_writer: LogWriter, *, flush_now: bool) -> None:
        """Note that a log writer has something to append. `flush_now`: before the interval is over."""
        self._marked[log_writer] = None
        self._any.set()
        if flush_now:
            self._urgent.set()

    def forget(self, log_writer: LogWriter) -> None:
        """Append nothing more for this log writer."""
        self._marked.pop(log_writer, None)

    async def run(self) -> None:
        """Append whenever there is something to append, for ever."""
        while True:
            await self._any.wait()
            try:
                async with asyncio.timeout(self._interval):
                    await self._urgent.wait()
            except TimeoutError:
                pass
            await self._flush()

    async def _flush(self) -> None:
        log_writers = list(self._marked)
        self._marked.clear()
        self._any.clear()
        self._urgent.clear()
        try:
            answers = await self._writer.append([log_writer.next_append() for log_writer in log_writers])
        except StreamsUnavailable:
            log.warning("append_failed", logs=len(log_writers))
            await asyncio.sleep(RETRY_AFTER)
            for log_writer in log_writers:
                if not log_writer.has_left:
                    self.mark(log_writer, flush_now=True)
            return
        for log_writer, answer in zip(log_writers, answers, strict=True):
            if log_writer.answered(answer):
                self.mark(log_writer, flush_now=True)
