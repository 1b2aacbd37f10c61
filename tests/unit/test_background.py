"""Background tasks end, also those that miss a cancellation."""

import asyncio

import pytest

from services.api.app import tell_failure
from shared import background
from tests.support.turns import logged


async def deaf(began: asyncio.Event, swallowed: asyncio.Event) -> None:
    """Miss the first cancellation."""
    began.set()
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        swallowed.set()
    await asyncio.Event().wait()


async def fail() -> None:
    """Fail at once."""
    raise OSError


async def test_a_task_that_swallows_its_first_cancellation_ends_all_the_same() -> None:
    began, swallowed = asyncio.Event(), asyncio.Event()
    tasks = [asyncio.create_task(deaf(began, swallowed)), asyncio.create_task(fail())]
    await began.wait()
    await asyncio.wait_for(background.end(*tasks), 10)
    assert swallowed.is_set()
    assert all(task.done() for task in tasks)


async def test_works_that_run_together_end_although_one_swallows_its_first_cancellation() -> None:
    began, swallowed, before = asyncio.Event(), asyncio.Event(), asyncio.all_tasks()
    together = asyncio.create_task(background.run_together(deaf(began, swallowed), asyncio.Event().wait()))
    await began.wait()
    await asyncio.wait_for(background.end(together), 10)
    assert swallowed.is_set()
    assert together.cancelled()
    assert asyncio.all_tasks() <= before


async def test_of_works_that_run_together_the_failure_of_one_ends_the_others() -> None:
    swallowed, before = asyncio.Event(), asyncio.all_tasks()
    with pytest.raises(OSError):  # noqa: PT011 - its kind is all that there is
        await background.run_together(deaf(asyncio.Event(), swallowed), fail())
    assert swallowed.is_set()
    assert asyncio.all_tasks() <= before


async def test_without_tasks_there_is_nothing_to_end() -> None:
    await background.end()


async def test_the_api_tells_of_a_task_that_fails_and_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    await asyncio.wait([background.start(fail(), tell_failure)])
    assert [line["level"] for line in logged(caplog, "background_task_failed")] == ["error"]
