"""One timer for all streams, and the player that sends each stream's events when they are due."""

import asyncio
import socket
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum, auto
from heapq import heappop, heappush
from itertools import count
from typing import Final

SLACK_SECONDS: Final = 0.0005
"""What is due this soon is sent now: the event loop's timers count whole milliseconds."""
BURST: Final = 64
"""So many events go out in one turn when there is no rate, so that other streams get theirs."""
RESET_AFTER_SECONDS: Final = 0.05
"""A reset discards what the kernel has not sent; the tokens before it shall arrive first."""


class Ending(Enum):
    """How a response's body ends."""

    COMPLETE = auto()
    CUT = auto()
    RESET = auto()


@dataclass(frozen=True, slots=True)
class Hold:
    """A step that waits until its gate is released; None: for ever."""

    gate: str | None


@dataclass(frozen=True, slots=True)
class End:
    """The last step: these bytes, at once, and how the body ends after them."""

    data: bytes
    ending: Ending = Ending.COMPLETE


Step = bytes | Hold | End
"""Bytes are one event that waits for its turn by the rate."""


class Clock:
    """Wakes many sleepers with one timer of the event loop: a heap of due times (seconds of time.monotonic)."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._sleepers: list[tuple[float, int, Callable[[], None]]] = []
        self._tickets = count()
        self._timer: asyncio.TimerHandle | None = None
        self._set_for = 0.0

    def at(self, due: float, wake: Callable[[], None]) -> None:
        """Call `wake` when it is `due`, or up to half a millisecond before."""
        heappush(self._sleepers, (due, next(self._tickets), wake))
        self._set()

    def _set(self) -> None:
        due = self._sleepers[0][0]
        if self._timer is not None:
            if due >= self._set_for - SLACK_SECONDS:
                return
            self._timer.cancel()
        self._set_for = due
        self._timer = self._loop.call_later(max(0.0, due - time.monotonic()), self._ring)

    def _ring(self) -> None:
        # The timer stays "set" while it rings, so that sleepers who go back to sleep don't each set it anew.
        self._set_for = 0.0
        horizon = time.monotonic() + SLACK_SECONDS
        try:
            while self._sleepers and self._sleepers[0][0] <= horizon:
                heappop(self._sleepers)[2]()
        finally:
            self._timer = None
            if self._sleepers:
                self._set()


@dataclass(slots=True)
class Player:
    """Sends one response, step by step, and never builds up more than the transport's buffer."""

    clock: Clock
    transport: asyncio.Transport
    steps: Iterator[Step]
    head: bytes
    chunked: bool
    interval: float
    due: float
    split: int
    hold: Callable[[str | None, Callable[[], None]], None]
    over: Callable[[Ending], None]
    paused: bool = False
    starved: bool = False
    held: bool = False
    stopped: bool = False

    def start(self) -> None:
        """Wait for the first event's turn."""
        self.clock.at(self.due, self.wake)

    def wake(self) -> None:
        """Send everything that is due, and go back to sleep."""
        if self.stopped or self.held:
            return
        if self.paused:
            self.starved = True
            return
        horizon, events = time.monotonic() + SLACK_SECONDS, list[bytes]()
        while (self.due <= horizon) if self.interval else (len(events) < BURST):
            step = next(self.steps)
            if isinstance(step, bytes):
                events.append(step)
                self.due += self.interval
                continue
            self._send(b"".join(events) + (step.data if isinstance(step, End) else b""))
            if isinstance(step, Hold):
                self.held = True
                self.hold(step.gate, self.release)
            else:
                self._end(step.ending)
            return
        self._send(b"".join(events))
        # Without a rate the next turn lies just past the clock's horizon, so that reads and other streams come first.
        self.clock.at(self.due if self.interval else horizon, self.wake)

    def release(self) -> None:
        """Leave a hold; the rate counts from now."""
        self.held = False
        self._go_on()

    def pause(self) -> None:
        """Send nothing until the reader has taken what was sent."""
        self.paused = True

    def resume(self) -> None:
        """Go on after a pause."""
        self.paused = False
        if self.starved:
            self.starved = False
            self._go_on()

    def _go_on(self) -> None:
        self.due = max(self.due, time.monotonic())
        self.clock.at(self.due, self.wake)

    def stop(self) -> None:
        """Send nothing more: the reader has left."""
        self.stopped = True

    def _send(self, data: bytes) -> None:
        if not data:
            return
        if self.chunked:
            step = self.split or len(data)
            pieces = [data[at : at + step] for at in range(0, len(data), step)]
            data = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
        self.transport.write(self.head + data)
        self.head = b""

    def _end(self, ending: Ending) -> None:
        self.stopped = True
        if ending is Ending.COMPLETE and self.chunked:
            self.transport.write(b"0\r\n\r\n")
        elif ending is Ending.RESET:
            self.clock.at(time.monotonic() + RESET_AFTER_SECONDS, self._reset)
        elif ending is Ending.CUT:
            self.transport.close()
        self.over(ending)

    def _reset(self) -> None:
        connection: socket.socket = self.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()
