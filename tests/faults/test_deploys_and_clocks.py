"""Workers are replaced while they answer; their clocks are wrong."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from tests.doubles import groq_control
from tests.support.readers import User
from tests.support.system import System


async def test_deploys_one_after_the_other_drop_nothing(system: System, user: User, groq_url: str) -> None:
    old = await system.start_worker()
    for _ in range(3):
        gate = uuid4().hex
        readers = await user.ask_many(5, tokens=40, hold=gate, after=10)
        await asyncio.gather(*(reader.said(10) for reader in readers))
        new = await system.start_worker()
        assert await system.stop(old) == 0
        await groq_control.release(groq_url, gate)
        await user.all_is_well(readers)
        old = new
    assert system.ask("SELECT DISTINCT attempt, losses FROM generations") == [(2, 0)]


async def test_clocks_that_are_a_minute_wrong_change_nothing(system: System, user: User, groq_url: str) -> None:
    ahead, behind = await asyncio.gather(system.start_worker(ahead=60), system.start_worker(ahead=-60))
    for worker, minutes in ((ahead, 1), (behind, -1)):
        told = datetime.fromisoformat(system.words(worker).partition('"timestamp": "')[2].partition('"')[0])
        assert abs(told - datetime.now(UTC) - timedelta(minutes=minutes)) < timedelta(seconds=30)
    # Longer than a lease: neither takes the other for dead.
    await user.ask_many(6, tokens=80, rate=20)
    await user.all_is_well()
    assert system.ask("SELECT DISTINCT attempt, losses FROM generations") == [(1, 0)]
    for worker in (ahead, behind):
        gate = uuid4().hex
        readers = await user.ask_many(6, tokens=20, hold=gate, after=10)
        await asyncio.gather(*(reader.said(10) for reader in readers))
        system.kill(worker)
        await groq_control.release(groq_url, gate)
        if worker is ahead:
            await user.all_is_well(readers)
            ahead = await system.start_worker(ahead=60)
    await user.all_is_well()
    assert system.count("generations", "losses > 0") >= 2
