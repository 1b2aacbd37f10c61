"""Redis crashes, loses its data, freezes or is full while answers stream."""

import asyncio
import os
import shutil
import signal

import pytest
from redis import Redis

from tests.support.clients import numbered
from tests.support.readers import User
from tests.support.system import System, eventually


@pytest.mark.parametrize("loses_its_data", [False, True])
async def test_answers_go_on_though_redis_crashes(system: System, user: User, *, loses_its_data: bool) -> None:
    await system.start_worker()
    readers = await user.ask_many(8, tokens=100, rate=25)
    await asyncio.gather(*(reader.said(20) for reader in readers))
    await asyncio.to_thread(system.valkey.kill)
    if loses_its_data:
        shutil.rmtree(system.valkey.directory / "appendonlydir")
    await asyncio.to_thread(system.valkey.start)
    await user.all_is_well()
    await user.ask(tokens=5)
    await user.all_is_well()
    assert system.count("generations", "attempt > 1") == 0


async def test_messages_are_accepted_in_time_though_redis_does_not_answer(system: System, user: User) -> None:
    await system.start_worker()
    await user.ask(tokens=5)
    await user.all_is_well()
    clock = asyncio.get_running_loop().time
    chats = [(await user.send("POST", "/api/chats")).json()["id"] for _ in range(30)]
    os.kill(system.valkey.pid or 0, signal.SIGSTOP)
    try:
        took = []
        for chat in chats:
            asked_at = clock()
            accepted = await user.http.post(
                f"/api/chats/{chat}/messages", json={"content": "[[tokens=3]]"}, headers={"Prefer": "respond-async"}
            )
            took.append(clock() - asked_at)
            assert accepted.status_code == 202
            await asyncio.sleep(6 / len(chats))  # spread over the time that it is frozen
    finally:
        os.kill(system.valkey.pid or 0, signal.SIGCONT)
    assert max(took) < 4  # whoever asked Redis would wait 5 s
    await eventually(lambda: system.count("generations", "status = 'completed'") == 31)
    assert system.count("messages", "content = %s", numbered(3)) == 30


async def test_answers_go_on_when_a_full_redis_has_room_again(system: System, user: User) -> None:
    worker = await system.start_worker()
    readers = await user.ask_many(6, tokens=100, rate=25)
    await asyncio.gather(*(reader.said(20) for reader in readers))
    with Redis.from_url(system.valkey.url) as redis:
        redis.config_set("maxmemory", 1)
        await system.logged(worker, "append_failed")
        readers += await user.ask_many(4, tokens=10)
        redis.config_set("maxmemory", 0)
    await user.all_is_well()
