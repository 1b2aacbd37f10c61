"""Background tasks end, also those that miss a cancellation."""

import asyncio

from shared import background


async def test_a_task_that_swallows_its_first_cancellation_ends_all_the_same() -> None:
    swallowed = asyncio.Event()

    async def deaf() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            swallowed.set()
        await asyncio.Event().wait()

    async def failing() -> None:
        raise OSError

    tasks = [asyncio.create_task(deaf()), asyncio.create_task(failing())]
    await asyncio.sleep(0)
    await asyncio.wait_for(background.end(*tasks), 10)
    assert swallowed.is_set()
    assert all(task.done() for task in tasks)


async def test_without_tasks_there_is_nothing_to_end() -> None:
    await background.end()
