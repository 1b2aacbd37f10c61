"""Work that goes on when the request that began it is gone, because its client has left."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from shared import background


class LeftTasks:
    """The tasks of one process. `on_failure` is called with what one of them fails with."""

    def __init__(self, on_failure: Callable[[BaseException], None]) -> None:
        self._on_failure = on_failure
        self._tasks = set[asyncio.Task[None]]()

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Do this, whatever becomes of the request. The work has to be bounded in time."""
        task = background.start(work, self._on_failure)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def finish(self) -> None:
        """Wait for what has been started."""
        while self._tasks:
            await asyncio.wait(self._tasks)
