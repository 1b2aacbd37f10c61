"""What of an answer has been made and not taken by its client."""

from typing import Final

LEAST: Final = 16 * 1024
"""Bytes that a client has to take within the time that it has: half a kilobyte a second, in 30 s."""


class UnsentBytes:
    """How long a client has taken nothing of what waits for it."""

    __slots__ = ("_left", "_since")

    def __init__(self) -> None:
        self._left = 0
        self._since = 0.0

    def is_stuck(self, size: int, now: float, seconds: float) -> bool:
        """Whether the client has taken less than LEAST in so many seconds. `size` are the bytes that wait now."""
        if not size:
            self._left = 0
            return False
        if not self._left or size > self._left or size <= self._left - LEAST:
            self._left, self._since = size, now
            return False
        return now - self._since >= seconds
