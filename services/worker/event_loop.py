"""The process's one event loop. It runs every generation as a coroutine, while Celery's threads only wait."""

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, Self, TypeVar

import uvloop

from shared.telemetry import capture

T = TypeVar("T")


class EventLoop:
    """An event loop on a thread of its own. Use it as a context manager."""

    def __init__(self) -> None:
        self._loop = uvloop.new_event_loop()
        capture.watch(self._loop)
        self._thread = threading.Thread(target=self._loop.run_forever, name="event-loop", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def start(self, work: Coroutine[Any, Any, Any]) -> None:
        """Run a coroutine on the loop without waiting, from any other thread or a signal handler."""
        asyncio.run_coroutine_threadsafe(work, self._loop)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop and wait for it, from any other thread."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()
