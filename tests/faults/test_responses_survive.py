"""A response's stream is cut again and again, while worker, API and Redis die: every character comes once, numbers rise."""

import asyncio
import random
from itertools import pairwise
from uuid import uuid4

import httpx
from redis import Redis

from services.launcher.program import free_port
from tests.doubles import groq_control
from tests.support.clients import NO_TLS, Client, numbered
from tests.support.openai_events import Refused, ResponseReader
from tests.support.system import POLL, System, eventually

TOKENS = 3_000
HELD_AFTER = 400
"""Tokens of each model call: whatever dies, the answer is not over before the test says so."""
CUTS = 100
WITHIN = 120.0


async def _read_on(reader: ResponseReader, events: int | None) -> None:
    """Resume until so many more events are there. What is down meanwhile is asked again."""
    wanted = None if events is None else len(reader.events) + events
    async with asyncio.timeout(WITHIN):
        while not reader.done and (wanted is None or len(reader.events) < wanted):
            try:
                await reader.resume(wanted)
            except (httpx.TransportError, Refused):
                await asyncio.sleep(POLL)


async def test_a_response_that_is_cut_100_times_while_everything_dies_comes_once(system: System, groq_url: str) -> None:
    chance = random.Random(26)  # noqa: S311 - no secret
    port, gate = free_port(), uuid4().hex
    api, url = await system.start_api(PORT=str(port))
    worker = await system.start_worker()
    async with httpx.AsyncClient(base_url=url, verify=NO_TLS, timeout=30) as http:
        await Client(http).sign_up()
        reader = ResponseReader(http)
        asked = {"model": "double", "input": f"[[tokens={TOKENS} hold={gate} after={HELD_AFTER}]]"}
        await reader.ask(asked, until=20)

        async def cut_often() -> None:
            for _ in range(CUTS // 5):
                await _read_on(reader, chance.randint(1, 4))

        await cut_often()
        system.kill(worker)
        worker = await system.start_worker()
        await cut_often()
        system.kill(api)
        api, _ = await system.start_api(PORT=str(port))
        await cut_often()
        await system.lose_redis()
        await cut_often()
        system.kill(worker)
        await system.lose_redis()
        worker = await system.start_worker()
        await cut_often()
        assert not reader.done
        await groq_control.release(groq_url, gate)
        await _read_on(reader, None)

        numbers = [event["sequence_number"] for event in reader.events]
        assert all(before < after for before, after in pairwise(numbers))
        assert reader.text == numbered(TOKENS)
        assert reader.final["status"] == "completed"
        assert reader.final["output"][0]["content"][0]["text"] == numbered(TOKENS)

        whole = ResponseReader(http, id=reader.id)
        await whole.resume()
        assert whole.events == reader.events
        with Redis.from_url(system.valkey.url) as redis:
            redis.flushall()
        from_row = ResponseReader(http, id=reader.id)
        await from_row.resume()
        assert from_row.events == reader.events
    assert system.count("generations", "losses > 1") == 1


async def test_one_stream_goes_on_by_itself_though_redis_and_the_worker_die(system: System, groq_url: str) -> None:
    gate = uuid4().hex
    _, url = await system.start_api()
    worker = await system.start_worker()
    async with httpx.AsyncClient(base_url=url, verify=NO_TLS, timeout=60) as http:
        await Client(http).sign_up()
        reader = ResponseReader(http)
        asked = {"model": "double", "input": f"[[tokens=300 hold={gate} after=100]]"}
        asking = asyncio.create_task(reader.ask(asked))
        await eventually(lambda: len(reader.events) >= 50)
        system.kill(worker)
        await system.lose_redis()
        await system.start_worker()
        await groq_control.release(groq_url, gate)
        await asking
    assert reader.text == numbered(300)
    assert reader.final["status"] == "completed"
