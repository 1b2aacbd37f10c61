"""Somebody puts things into Redis that no process of ours wrote: nothing dies, and answers go on."""

import asyncio
import json
import time
from collections.abc import Iterator
from uuid import UUID

import httpx
import pytest
from redis import Redis

from services.launcher.program import free_port
from shared.ids import GenerationId, new_generation_id
from shared.streams.cancel_signals import CHANNEL
from shared.streams.names import channel, log_key
from tests.support.poison import SECRET, commands, job, poison
from tests.support.readers import User
from tests.support.system import System, eventually

PIDBOX = "/0.celery.pidbox"


@pytest.fixture
def redis(system: System) -> Iterator[Redis]:
    """The stranger's connection."""
    with Redis.from_url(system.valkey.url) as opened:
        yield opened


def dropped(port: int) -> float:
    """How many items a worker has dropped."""
    lines = httpx.get(f"http://127.0.0.1:{port}/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("cortexai_jobs_dropped_total{"))


async def test_a_worker_drops_what_is_no_job_and_goes_on(system: System, user: User, redis: Redis) -> None:
    port = free_port()
    worker = await system.start_worker(METRICS_PORT=str(port))
    items = [item for _, item in poison()]
    redis.lpush("generations", *items)
    # The one that is to be given back is what a worker that died has left an hour ago.
    redis.hset("unacked", mapping={"a": SECRET, "b": "[1, 2, 3]", "c": json.dumps([job(), 1, {}])})
    redis.zadd("unacked_index", dict.fromkeys("abcd", time.time() - 7200))
    await user.ask(tokens=5)
    await user.all_is_well()
    await eventually(lambda: dropped(port) == len(items))
    for _, message in commands():
        redis.publish(PIDBOX, message)
    await user.ask(tokens=5)
    await user.all_is_well()
    assert worker.poll() is None
    assert SECRET not in system.words(worker)
    # The worker that starts next finds what is not acknowledged.
    other_port = free_port()
    other = await system.start_worker(METRICS_PORT=str(other_port))
    await eventually(lambda: dropped(other_port) == len("abc"))
    assert not redis.exists("unacked", "unacked_index")
    assert await system.stop(worker) == 0
    await user.ask(tokens=5)
    await user.all_is_well()
    assert SECRET not in system.words(other)


async def test_a_worker_waits_for_the_repair_of_what_can_not_be_worked_with(
    system: System, user: User, redis: Redis
) -> None:
    worker = await system.start_worker()
    redis.set("generations", "no queue")
    await eventually(lambda: "Connection to broker lost" in system.words(worker))
    redis.delete("generations")
    await user.ask(tokens=5)
    await user.all_is_well()
    assert worker.poll() is None


async def test_what_is_published_by_strangers_disturbs_no_stream(system: System, user: User, redis: Redis) -> None:
    worker = await system.start_worker()
    readers = await user.ask_many(3, tokens=60, rate=30)
    await asyncio.gather(*(reader.said(5) for reader in readers))
    running = [GenerationId(UUID(reader.generation_id)) for reader in readers]
    garbage = [b"", b"\xff", b"1", b"a-b 0\n", b"1-x 1\nframe", SECRET.encode(), b"-\n" * 1000]
    for one in garbage:
        redis.publish(CHANNEL, one)
        for generation_id in running:
            redis.publish(channel(generation_id), one)
    redis.publish("cortexai:hub", b"x")
    await user.all_is_well()
    assert system.count("generations", "attempt > 1") == 0
    assert worker.poll() is None


async def test_one_log_with_strange_entries_holds_up_no_other(system: System, user: User, redis: Redis) -> None:
    await system.start_worker()
    readers = await user.ask_many(3, tokens=60, rate=30)
    await asyncio.gather(*(reader.said(5) for reader in readers))
    first = GenerationId(UUID(readers[0].generation_id))
    redis.set(log_key(first), "no log")
    redis.xadd(log_key(new_generation_id()), {"x": "y"})
    await user.all_is_well()
