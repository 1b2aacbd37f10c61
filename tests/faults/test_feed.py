"""What a tab that reads the live feed gets when servers and processes die."""

import asyncio
import os
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
from redis import Redis

from tests.support.clients import Event
from tests.support.feeds import PATIENCE, Tab, open_tab
from tests.support.readers import RETRY, User, user_of
from tests.support.system import System


@asynccontextmanager
async def tab_again(user: User, last_id: str, url: str = "") -> AsyncIterator[Tab]:
    """A tab that comes again until it gets its first event."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                async with open_tab(user.http, after=last_id, base=url) as tab:
                    await tab.next()
                    yield tab
                    return
            except httpx.TransportError:
                await asyncio.sleep(RETRY)


async def new_chat(user: User, url: str = "") -> int:
    chat: int = (await user.http.post(f"{url}/api/chats")).raise_for_status().json()["id"]
    return chat


def chats_of(events: list[Event]) -> list[int]:
    """The chats that were told as made."""
    return [event.part["chat_id"] for event in events if event.part["type"] == "chat.created"]


def keep_all(url: str) -> None:
    """Wait until all that Redis has is on disk. With `everysec`, Redis keeps a write in memory while it syncs an earlier one."""
    with Redis.from_url(url) as redis:
        redis.set("last", "write")
        assert redis.execute_command("WAITAOF", 1, 0, 10_000) == [1, 0]


@pytest.mark.parametrize("loses_its_data", [False, True])
async def test_a_tab_is_cut_when_redis_crashes_and_misses_nothing_unawares(
    system: System, user: User, *, loses_its_data: bool
) -> None:
    async with open_tab(user.http) as tab:
        assert (await tab.next()).part == {"type": "ready"}
        first = await new_chat(user)
        await tab.next()
        await asyncio.to_thread(keep_all, system.valkey.url)
        await asyncio.to_thread(system.valkey.kill)
        with pytest.raises(httpx.RemoteProtocolError):
            await tab.end()
    second = await new_chat(user)  # told while Redis is away
    if loses_its_data:
        shutil.rmtree(system.valkey.directory / "appendonlydir")
    await asyncio.to_thread(system.valkey.start)
    async with tab_again(user, tab.last_id) as again:
        third = await new_chat(user)
        while third not in chats_of(again.seen):
            await again.next()
        if loses_its_data:
            assert again.seen[0].part == {"type": "resync"}
        else:
            assert chats_of(again.seen) == [second, third]
    assert first == chats_of(tab.seen)[0]


async def test_requests_do_not_wait_for_a_feed_whose_redis_does_not_answer(system: System, user: User) -> None:
    await new_chat(user)
    clock = asyncio.get_running_loop().time
    os.kill(system.valkey.pid or 0, signal.SIGSTOP)
    try:
        took = []
        for _ in range(20):
            asked_at = clock()
            await new_chat(user)
            took.append(clock() - asked_at)
    finally:
        os.kill(system.valkey.pid or 0, signal.SIGCONT)
    assert max(took) < 4  # whoever asked Redis would wait 5 s


async def test_a_tab_whose_redis_is_flushed_is_told_so_with_the_next_event(system: System, user: User) -> None:
    async with open_tab(user.http) as tab:
        await tab.next()
        await new_chat(user)
        await tab.next()
        with Redis.from_url(system.valkey.url) as redis:
            redis.flushall()
        await new_chat(user)
        assert (await tab.next()).part == {"type": "resync"}
        last = await new_chat(user)
        assert (await tab.next()).part["chat_id"] == last


async def test_a_tab_whose_api_is_killed_gets_the_rest_at_another_each_once(system: System) -> None:
    doomed, its_url = await system.start_api()
    _, url = await system.start_api()
    await system.start_worker()
    async with user_of(url) as user:
        async with open_tab(user.http, base=its_url) as tab:
            await tab.next()
            await new_chat(user, its_url)
            await tab.next()
            system.kill(doomed)
            with pytest.raises(httpx.RemoteProtocolError):
                await tab.end()
        reader = await user.ask(tokens=5)
        await reader.end()
        async with tab_again(user, tab.last_id) as again:
            await again.until("generation.status", status="completed")
        kinds = [event.part.get("status") or event.part["type"] for event in again.seen]
        assert [kind for kind in kinds if kind != "chat.renamed"] == ["chat.created", "queued", "running", "completed"]


async def test_an_api_that_leaves_sends_what_it_has_told_and_cuts_its_tabs(system: System) -> None:
    leaving, its_url = await system.start_api()
    _, url = await system.start_api()
    async with user_of(url) as user, open_tab(user.http) as tab:
        await tab.next()
        async with open_tab(user.http, base=its_url) as other:
            await other.next()
            chats = [await new_chat(user, its_url) for _ in range(5)]
            assert await system.stop(leaving) == 0
            with pytest.raises(httpx.RemoteProtocolError):
                await other.end()
        assert chats_of([await tab.next() for _ in chats]) == chats
