"""Running tasks in the background, and ending them."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

AGAIN_AFTER: Final = 1.0


def start(work: Coroutine[Any, Any, None], on_failure: Callable[[BaseException], None]) -> asyncio.Task[None]:
    """Run a task in the background. `on_failure` is called with what the task fails with; a cancellation is no failure."""

    def look(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()) is not None:
            on_failure(error)

    task = asyncio.create_task(work)
    task.add_done_callback(look)
    return task


async def end(*tasks: asyncio.Task[Any]) -> None:
    """Cancel tasks and wait until they have ended, whatever they end with.

    The cancellation is repeated, since one that meets a connection which is just being cut or opened can get lost in a library.
    """
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=AGAIN_AFTER)
    await asyncio.gather(*tasks, return_exceptions=True)


async def run_together(*works: Coroutine[Any, Any, object]) -> None:
    """Run works until one fails, with that failure, or until this is cancelled. None of them runs on after that.

    A TaskGroup would pass on only the first cancellation. A task that misses it would hold up the process's end for ever.
    """
    tasks = [asyncio.create_task(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        while not all(task.done() for task in tasks):
            try:
                await end(*tasks)
            except asyncio.CancelledError:  # again, which passes it on again
                continue
    for task in done:
        task.result()
