"""Ending tasks that run in the background."""

import asyncio
from typing import Any, Final

AGAIN_AFTER: Final = 1.0


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
