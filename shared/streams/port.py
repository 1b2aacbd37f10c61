"""The stream log's port: what a writer and a reader may rely on, whatever keeps the log. Source: docs/protocol.md §1."""

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

from shared.errors import AppendRefused
from shared.ids import GenerationId

UNPREFIXED: Final = ("",)
"""The prefixes of a deployment whose names in Redis begin with none."""


class Offset(NamedTuple):
    """A frame's place. Offsets of one log rise strictly; sequences have no gaps across attempts."""

    attempt: int
    sequence: int

    def __str__(self) -> str:
        return f"{self.attempt}-{self.sequence}"


BEGINNING = Offset(0, 0)


class Entry(NamedTuple):
    """A frame in its log. The terminal frame is the last. `had_subscriber`: somebody read live when the frame was appended."""

    offset: Offset
    frame: bytes
    terminal: bool = False
    had_subscriber: bool = True


@dataclass(frozen=True, slots=True)
class Append:
    """Frames that go to the end of one log, all or none.

    `after` is the sequence that the writer left the log at; None opens the attempt, wherever the log ends.
    `terminal` says that the last of the frames closes the log. The frame at `after` must be of this attempt, since an earlier
    attempt may have written where the log lost its end. The exception is `rewrites_opening`: the attempt's opening is written
    again.
    """

    generation_id: GenerationId
    attempt: int
    after: int | None
    frames: tuple[bytes, ...]
    terminal: bool = False
    rewrites_opening: bool = False


class Writer(Protocol):
    """Appends to logs."""

    async def append(self, appends: Sequence[Append]) -> list[int | AppendRefused]:
        """Append to several logs in one round trip, each log atomically.

        Returns, in order, each log's new last sequence or the refusal: AttemptSuperseded (a later attempt has opened the
        log), LogClosed, or LogDiverged (the log does not end at `after`, or not with this attempt's frame). Repeating an
        append that has succeeded changes nothing and succeeds, so an append whose answer was lost may be sent again.

        Raises:
            StreamsUnavailable: nothing is known about any of them.

        """
        ...


class Notification(NamedTuple):
    """What has come for a subscriber: frames in the order of their publishing; or that some may have been missed.

    `transient_frames` are frames that are in no log. With nothing at all, it was quiet for the keep-alive interval.
    """

    entries: tuple[Entry, ...] = ()
    missed: bool = False
    transient_frames: tuple[bytes, ...] = ()


class Subscription(Protocol):
    """One reader's subscription to one log."""

    async def wait(self) -> Notification:
        """Wait for the next notification, and take it."""
        ...

    async def is_notified(self, within: float) -> bool:
        """Whether a notification comes within so many seconds. `wait` still gets that notification."""
        ...


class Log(Protocol):
    """Reads what is logged."""

    async def replay(self, generation_id: GenerationId, after: Offset, *, limit: int = 500) -> list[Entry]:
        """The frames past an offset's sequence, in order, at most `limit`; none where the log is absent or at its end.

        Raises:
            StreamsUnavailable: the log can't be read now.

        """
        ...

    async def head(self, generation_id: GenerationId) -> Entry | None:
        """The log's last entry; None where the log is absent.

        Raises:
            StreamsUnavailable: the log can't be read now.

        """
        ...


class Reader(Log, Protocol):
    """Reads what is logged, and what comes."""

    async def keep(self, generation_id: GenerationId) -> None:
        """Let a log that is there live as long from now on as after an append.

        Raises:
            StreamsUnavailable: the log may expire sooner.

        """
        ...

    def follow(self, generation_id: GenerationId) -> AbstractAsyncContextManager[Subscription]:
        """Subscribe. Once entered, every frame appended from then on reaches the subscription or is reported as missed.

        Raises:
            StreamsUnavailable: the subscription was not confirmed in time.

        """
        ...
