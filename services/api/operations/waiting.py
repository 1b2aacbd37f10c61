"""Waiting a moment for the end of an operation, so that the answer to an approval can tell the effect."""

import asyncio
from typing import Final

from starlette.datastructures import Headers

from shared.database.engine import Database
from shared.errors import StreamsUnavailable
from shared.ids import OperationId, UserId
from shared.operations.rows import OperationRow, find_is_over, find_operation
from shared.streams.feed.port import FeedReader

WAIT_SECONDS: Final = 10.0
"""How long an approval waits for its effect, unless its client prefers less."""
LOOK_EVERY: Final = 1.0
"""Seconds after which the row is looked at again though no event has come: the event may be late."""


def seconds_to_wait(headers: Headers) -> float:
    """How long a client wants to wait: `Prefer: respond-async`, or `wait=` in whole seconds. Source: RFC 7240."""
    wanted = WAIT_SECONDS
    for preference in ",".join(headers.getlist("prefer")).split(","):
        name, _, value = preference.partition(";")[0].strip().lower().partition("=")
        if name.strip() == "respond-async":
            return 0
        seconds = value.strip().strip('"')
        if name.strip() == "wait" and seconds.isascii() and seconds.isdecimal():
            wanted = min(float(seconds), WAIT_SECONDS)
    return wanted


async def await_end(
    database: Database, feed: FeedReader, user_id: UserId, operation_id: OperationId, within: float
) -> OperationRow:
    """The operation once it is over, or as it is after so many seconds. No connection is held meanwhile.

    Raises:
        OperationNotFound: the operation is gone.

    """

    async def is_over() -> bool:
        async with database.connect() as db:
            return await find_is_over(db, user_id, operation_id)

    deadline = asyncio.get_running_loop().time() + within
    try:
        async with feed.follow(user_id) as subscription:
            while not await is_over():
                left = deadline - asyncio.get_running_loop().time()
                if left <= 0:
                    break
                if await subscription.is_notified(min(left, LOOK_EVERY)):
                    await subscription.wait()
    except StreamsUnavailable:
        pass  # who approves need not wait for the feed
    async with database.connect() as db:
        return await find_operation(db, user_id, operation_id)
