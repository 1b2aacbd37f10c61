"""Workers are killed and frozen while they answer."""

import asyncio
import os
import signal
from uuid import uuid4

from celery import Celery
from redis import Redis

from shared.ids import GenerationId
from shared.jobs.names import GENERATE, GENERATIONS_QUEUE
from shared.streams.names import log_key
from tests.conftest import NewSystem
from tests.doubles import groq_control
from tests.support.clients import numbered
from tests.support.readers import Reader, User, user_of
from tests.support.system import System


async def test_answers_go_on_though_their_workers_are_killed_again_and_again(
    system: System, user: User, groq_url: str
) -> None:
    """`bench/chaos.py` kills for hours."""
    workers = list(await asyncio.gather(system.start_worker(), system.start_worker()))
    before: list[Reader] = []
    for _ in range(3):
        gate = uuid4().hex
        readers = await user.ask_many(8, tokens=30, hold=gate, after=10)
        await asyncio.gather(*(reader.said(10) for reader in readers))
        system.kill(workers.pop(0))
        workers.append(await system.start_worker())
        await groq_control.release(groq_url, gate)
        # No answer lives through three kills: it would be right for it to fail then.
        await asyncio.gather(*(reader.end() for reader in before))
        before = readers
    await user.all_is_well()
    assert system.count("generations", "losses > 0") >= 3


async def test_jobs_that_a_killed_worker_had_taken_are_all_done_once(system: System, user: User) -> None:
    workers = list(await asyncio.gather(system.start_worker(), system.start_worker()))
    for _ in range(3):
        await user.ask_many(20, tokens=2)
        system.kill(workers.pop(0))
        workers.append(await system.start_worker())
    system.age_queue()
    await user.all_is_well()
    assert system.count("messages", "role = 'assistant' AND content = %s", numbered(2)) == 60
    assert system.count("messages") == 120


async def test_jobs_that_are_delivered_ten_times_to_two_workers_are_done_once(new_system: NewSystem) -> None:
    system = new_system(LEASE_SECONDS="60")  # nobody dies, so no second attempt is right, however slow the machine is
    _, url = await system.start_api()
    async with user_of(url) as user:
        readers = await user.ask_many(10, tokens=5)
        with Celery(broker=system.valkey.url, set_as_current=False) as celery:
            for reader in readers * 10:
                celery.send_task(GENERATE, args=[reader.generation_id], queue=GENERATIONS_QUEUE)
        await asyncio.gather(system.start_worker(), system.start_worker())
        await user.all_is_well()
    assert system.count("generations", "attempt = 1 AND status = 'completed'") == 10
    system.end()


async def test_a_worker_that_wakes_after_its_lease_writes_nothing_more_and_goes_on_working(
    system: System, user: User, groq_url: str
) -> None:
    zombie = await system.start_worker()
    gate = uuid4().hex
    reader = await user.ask(tokens=60, hold=gate, after=10)
    await reader.said(10)
    successor = await system.start_worker()
    os.kill(zombie.pid, signal.SIGSTOP)
    await reader.attempted(2)
    os.kill(zombie.pid, signal.SIGCONT)
    await system.logged(zombie, "lease_not_renewed")
    # Whatever the model says now, it says to both.
    await groq_control.release(groq_url, gate)
    await user.all_is_well()
    with Redis.from_url(system.valkey.url) as redis:
        assert redis.xlen(log_key(GenerationId(reader.generation_id))) == reader.sequence  # type: ignore[arg-type]
    assert zombie.poll() is None
    assert await system.stop(successor) == 0
    await user.ask(tokens=5)
    await user.all_is_well()
    assert await system.stop(zombie) == 0
