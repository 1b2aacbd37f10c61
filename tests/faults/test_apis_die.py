"""APIs are killed around a commit, and replaced under many open streams."""

import asyncio
import socket
from collections import Counter
from uuid import uuid4

import httpx
import psycopg
import pytest

from tests.doubles import groq_control
from tests.support.clients import NO_TLS
from tests.support.readers import Reader, user_of
from tests.support.system import System, eventually

WAITING = (
    "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    " AND query LIKE '%%generation%%'"
)


async def test_a_message_whose_api_died_before_it_could_send_the_job_is_answered(system: System) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # the kernel accepts, nobody answers
        broker = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        doomed, doomed_url = await system.start_api(CELERY_BROKER_URL=broker)
        _, url = await system.start_api()
        async with user_of(doomed_url, url) as user:
            reader = await user.ask(tokens=5)
            system.kill(doomed)
            await system.start_worker()
            system.age_queue()
            await user.all_is_well()
    assert system.ask("SELECT id::text, attempt FROM generations") == [(reader.generation_id, 1)]


@pytest.mark.parametrize("was_committed", [False, True])
async def test_a_message_whose_api_died_in_the_commit_is_accepted_once_when_it_is_repeated(
    system: System, *, was_committed: bool
) -> None:
    doomed, doomed_url = await system.start_api()
    _, url = await system.start_api()
    await system.start_worker()
    async with user_of(url) as user, httpx.AsyncClient(verify=NO_TLS, headers=user.http.headers) as doomed_http:
        chat = (await user.send("POST", "/api/chats")).json()["id"]
        path = f"/api/chats/{chat}/messages"
        body = {"content": "[[tokens=5]]"}
        headers = {"Prefer": "respond-async", "Idempotency-Key": uuid4().hex}
        with psycopg.connect(system.env["DATABASE_URL"]) as holding:
            holding.execute("SELECT id FROM chats WHERE id = %s FOR UPDATE", [chat])
            posting = asyncio.create_task(doomed_http.post(doomed_url + path, json=body, headers=headers))
            await eventually(lambda: len(system.ask(WAITING)) == 1)
            system.kill(doomed)
            with pytest.raises(httpx.TransportError):
                await posting
            if not was_committed:
                system.ask(f"SELECT pg_terminate_backend(pid) FROM ({WAITING}) AS waiting")  # noqa: S608 - ours
                await eventually(lambda: system.ask(WAITING) == [])
            holding.rollback()
        await eventually(lambda: system.count("generations") == was_committed)
        accepted = await user.send("POST", path, json=body, headers=headers)
        user.readers.append(Reader(user, accepted.json()["stream_url"], chat, 5))
        await user.all_is_well()
    assert system.count("generations") == 1
    assert system.count("messages") == 2


async def test_200_readers_of_an_api_that_is_replaced_go_on_at_another(system: System, groq_url: str) -> None:
    leaving, leaving_url = await system.start_api()
    _, url = await system.start_api()
    await system.start_worker()
    async with user_of(leaving_url, url) as user:
        gate = uuid4().hex
        asked = await user.ask_many(20, tokens=40, hold=gate, after=20)
        others = [Reader(user, reader.path, reader.chat_id, reader.tokens) for reader in asked for _ in range(9)]
        user.readers += others
        await asyncio.gather(*(reader.said(20) for reader in user.readers))
        assert await system.stop(leaving) == 0
        assert not any(reader.terminal for reader in user.readers)
        await groq_control.release(groq_url, gate)
        await asyncio.gather(*(reader.end() for reader in user.readers))
        # A busy machine may need one more: the API cuts off whom it takes for somebody who does not read.
        connections = Counter(reader.connections for reader in user.readers)
        assert connections.keys() <= {2, 3}
        assert connections[3] <= 10
        await user.all_is_well(asked)
        assert {reader.text for reader in others} == {asked[0].text}


async def test_readers_that_come_again_after_each_frame_lose_nothing(system: System) -> None:
    _, one = await system.start_api()
    _, another = await system.start_api()
    await system.start_worker()
    async with user_of(one, another) as user:
        restless = [await user.ask(tokens=60, rate=25, leave_after=frames) for frames in (1, 1, 2, 5)]
        await user.all_is_well()
        assert restless[0].connections >= 20  # a slow machine puts several tokens into one frame
        assert not any(reader.resets for reader in restless)
