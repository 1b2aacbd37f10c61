"""How long requests fail while something is done to the system."""

import asyncio
from typing import Final

import httpx

from tests.support.readers import User

EVERY: Final = 0.05
ANSWER_SECONDS: Final = 5.0


async def longest_outage(user: User, over: asyncio.Event) -> float:
    """Make requests until it is `over`, and at least until one succeeds.

    Returns the longest time without success, in seconds: from the first failed request's start
    to the next success.
    """
    clock = asyncio.get_running_loop().time
    failing_since: float | None = None
    longest = 0.0
    while not over.is_set() or failing_since is not None:
        sent_at = clock()
        if await _is_answered(user):
            if failing_since is not None:
                longest = max(longest, clock() - failing_since)
            failing_since = None
        elif failing_since is None:
            failing_since = sent_at
        await asyncio.sleep(EVERY)  # a user's next request
    return longest


async def _is_answered(user: User) -> bool:
    try:
        return (await user.http.get("/api/chats", timeout=ANSWER_SECONDS)).is_success
    except httpx.TransportError:
        return False
