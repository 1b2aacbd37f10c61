"""How often something has happened in this process lately, within a bounded memory."""

import time
from collections.abc import Callable
from math import ceil
from typing import Final, NamedTuple

from shared.errors import TooManyRequests

MAX_KEYS: Final = 20_000


class Count(NamedTuple):
    """How often something happened in a window, and in how many seconds the window ends."""

    number: int
    left: float


NEVER: Final = Count(0, 0.0)


class LocalCounts:
    """Counts by key. A key's window is of `seconds`, from the first time that something happened under the key.

    Of more than `max_keys` windows the oldest one is forgotten.
    """

    def __init__(
        self, seconds: float, *, max_keys: int = MAX_KEYS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._seconds = seconds
        self._max_keys = max_keys
        self._clock = clock
        self._windows: dict[str, tuple[int, float]] = {}
        """The number, and when the window ends. Those that end first come first."""

    def __len__(self) -> int:
        return len(self._windows)

    def find(self, key: str) -> Count:
        """The count of a key."""
        number, ends = self._windows.get(key, (0, 0.0))
        left = ends - self._clock()
        return Count(number, left) if left > 0 else NEVER

    def add(self, key: str) -> Count:
        """Count one more. Returns the count with it."""
        now = self._clock()
        number, ends = self._windows.get(key, (0, 0.0))
        if ends <= now:
            self._windows.pop(key, None)
            self._make_room(now)
            number, ends = 0, now + self._seconds
        self._windows[key] = number + 1, ends
        return Count(number + 1, ends - now)

    def clear(self, key: str) -> None:
        """Forget a key."""
        self._windows.pop(key, None)

    def _make_room(self, now: float) -> None:
        while self._windows:
            oldest = next(iter(self._windows))
            if self._windows[oldest][1] > now and len(self._windows) < self._max_keys:
                return
            del self._windows[oldest]


class Rate:
    """So many requests of each user a minute, in this process. `limit` 0 means no limit. Asking takes a microsecond."""

    def __init__(self, limit: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._counts = LocalCounts(60, clock=clock)

    def take(self, user_id: int) -> None:
        """Count a request.

        Raises:
            TooManyRequests: the user has made too many this minute.

        """
        if self._limit:
            count = self._counts.add(str(user_id))
            if count.number > self._limit:
                raise TooManyRequests(ceil(count.left))
