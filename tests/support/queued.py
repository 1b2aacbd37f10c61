"""A worker of this process that takes what the API has queued: the API's jobs go to a broker that nobody reads."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast
from uuid import UUID

from services.worker.runtime import Worker
from shared.ids import GenerationId
from tests.support.turns import execute

_FIRST = "SELECT id FROM generations WHERE status = 'queued' ORDER BY id LIMIT 1"


async def first_queued(database_url: str) -> GenerationId:
    """The generation that was accepted first of those that no worker has, once there is one."""
    while not (found := await asyncio.to_thread(execute, database_url, _FIRST)):  # noqa: ASYNC110 - nobody tells
        await asyncio.sleep(0.05)
    return GenerationId(cast("UUID", found[0][0]))


@asynccontextmanager
async def answer_queued(worker: Worker, database_url: str) -> AsyncIterator[None]:
    """Have the worker take what is queued, one after another."""

    async def take() -> None:
        while True:
            await worker.attempts.run(await first_queued(database_url))

    taking = asyncio.create_task(take())
    try:
        yield
    finally:
        taking.cancel()
        await asyncio.gather(taking, return_exceptions=True)
