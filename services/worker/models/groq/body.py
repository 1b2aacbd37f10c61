"""From the bytes of a body to the chunks of an answer."""

from collections.abc import Iterator
from typing import Final

from services.worker.models.groq.events import Events
from services.worker.models.groq.reader import AnswerReader, Chunk
from shared.telemetry.logs import get_logger

log = get_logger(__name__)

_FAULTS: Final = (LookupError, TypeError, ValueError, AttributeError, RecursionError)


class Body:
    """Reads the body of one answer, which comes in pieces of any size.

    `faults`: how many events the reader failed over. They are skipped as well, because an answer that has come is worth
    more. There should be none, so the first one is logged.
    """

    def __init__(self, answer: AnswerReader) -> None:
        self._events = Events()
        self._answer = answer
        self.faults = 0

    @property
    def is_over(self) -> bool:
        """Whether nothing more is worth waiting for."""
        return self._events.is_done or self._answer.is_over

    @property
    def has_ended(self) -> bool:
        """Whether the finish reason has come, so that only the usage may follow."""
        return self._answer.has_ended

    @property
    def progress(self) -> int:
        """A number that grows while the answer does, also while nothing of it comes out yet."""
        return self._answer.progress

    @property
    def unreadable(self) -> int:
        """How many events were skipped."""
        return self._events.unreadable + self._answer.unreadable + self.faults

    def read(self, piece: bytes) -> Iterator[Chunk]:
        """The chunks that this piece completes.

        Raises:
            ModelError: the endpoint sent an error, or no answer at all.

        """
        for event in self._events.read(piece):
            yield from self._read(event)

    def _read(self, event: object) -> list[Chunk]:
        try:
            return self._answer.read(event)
        except _FAULTS as error:
            if not self.faults:
                log.error("reader_failed", error=type(error).__name__)  # noqa: TRY400 - a traceback may quote the text
            self.faults += 1
            return []

    def end(self) -> Iterator[Chunk]:
        """The last chunks, once the body is over.

        Raises:
            ModelError: the answer is an error, or was cut short.

        """
        for event in self._events.end():
            yield from self._read(event)
        yield from self._answer.end(is_done=self._events.is_done)
