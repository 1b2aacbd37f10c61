"""The whole way, in processes of their own: API, Celery workers, Redis, PostgreSQL, the Groq double."""

import asyncio
import json
import os
import subprocess
import sys

import httpx
import pytest

from tests.doubles import groq_control
from tests.support.clients import Client, Event, numbered, text_of, types_of
from tests.support.system import System


async def test_a_message_is_answered(client: Client) -> None:
    chat = await client.new_chat()
    async with client.post(chat, "Hello [[tokens=20 rate=100]]") as stream:
        events = await stream.all()
        assert stream.done
    assert text_of(events) == numbered(20)
    assert types_of(events)[-1] == "finish"
    question, reply = await client.messages(chat)
    assert (question["position"], question["role"], reply["position"], reply["role"]) == (1, "user", 2, "assistant")
    assert (reply["content"], reply["status"]) == (numbered(20), "completed")


@pytest.mark.parametrize("concurrency", [1, 20, 100])
async def test_200_tokens_arrive_complete_in_order_and_once(client: Client, concurrency: int) -> None:
    chats = [await client.new_chat() for _ in range(concurrency)]

    async def ask(chat: int) -> list[Event]:
        async with client.post(chat, "[[tokens=200 rate=150]]") as stream:
            return await stream.all()

    for events in await asyncio.gather(*(ask(chat) for chat in chats)):
        assert text_of(events) == numbered(200)
        assert [event.sequence for event in events] == list(range(1, len(events) + 1))


async def test_an_answer_is_made_though_nobody_waits_for_it(client: Client, groq_url: str) -> None:
    chat = await client.new_chat()
    async with client.post(chat, "Left alone [[tokens=10 after=5 hold=alone]]") as stream:
        assert (await anext(stream.events())).part["type"] == "start"
        generation = stream.response.headers["X-Generation-Id"]
    await groq_control.release(groq_url, "alone")
    async with client.read(f"/api/generations/{generation}/stream") as stream:
        assert text_of(await stream.all()) == numbered(10)


async def test_an_answer_survives_the_death_of_its_worker(new_system_client: tuple[System, Client]) -> None:
    system, client = new_system_client
    doomed = await system.start_worker()
    chats = [await client.new_chat() for _ in range(5)]
    reached = [asyncio.Event() for _ in chats]

    async def ask(chat: int, half: asyncio.Event) -> list[Event]:
        seen: list[Event] = []
        async with client.post(chat, "[[tokens=60 rate=30]]") as stream:
            async for event in stream.events():
                seen.append(event)
                if len(seen) > 25:
                    half.set()
        return seen

    asking = [asyncio.create_task(ask(chat, half)) for chat, half in zip(chats, reached, strict=True)]
    for half in reached:
        await half.wait()
    system.kill(doomed)
    await system.start_worker()
    for chat, events in zip(chats, await asyncio.gather(*asking), strict=True):
        assert text_of(events) == numbered(60)
        assert [event.sequence for event in events] == list(range(1, len(events) + 1))
        assert (await client.messages(chat))[1]["content"] == numbered(60)


async def test_a_worker_told_to_leave_hands_over_and_exits_with_0(
    new_system_client: tuple[System, Client], groq_url: str
) -> None:
    system, client = new_system_client
    leaving = await system.start_worker()
    chat = await client.new_chat()
    async with client.post(chat, "[[tokens=40 after=20 hold=handover]]") as stream:
        events = stream.events()
        seen: list[Event] = []
        while text_of(seen) != numbered(20):
            seen.append(await anext(events))
        staying = await system.start_worker()
        assert await system.stop(leaving) == 0
        await groq_control.release(groq_url, "handover")
        seen += [event async for event in events]
    assert text_of(seen) == numbered(40)
    assert seen[-1].part["type"] == "finish"
    generation = (await client.http.get(f"/api/generations/{stream.response.headers['X-Generation-Id']}")).json()
    assert generation["attempt"] == 2
    assert await system.stop(staying) == 0


async def test_an_api_told_to_leave_cuts_its_streams_and_exits_with_0(
    new_system_client: tuple[System, Client],
) -> None:
    system, client = new_system_client
    await system.start_worker()
    leaving, url = await system.start_api()
    chat = await client.new_chat()
    seen: list[Event] = []
    async with httpx.AsyncClient(base_url=url, headers=client.http.headers, timeout=30) as http:
        async with Client(http).post(chat, "[[tokens=60 rate=30]]") as stream:
            generation = stream.response.headers["X-Generation-Id"]
            events = stream.events()
            seen += [await anext(events) for _ in range(10)]
            stopping = asyncio.create_task(system.stop(leaving))
            with pytest.raises(httpx.RemoteProtocolError):
                seen += [event async for event in events]
        assert await stopping == 0
    reached = [event for event in seen if event.id]
    async with client.read(f"/api/generations/{generation}/stream", reached[-1].id) as stream:
        reached += await stream.all()
    assert text_of(reached) == numbered(60)


async def test_messages_are_accepted_without_workers_and_answered_later(
    new_system_client: tuple[System, Client],
) -> None:
    system, client = new_system_client
    chats = [await client.new_chat() for _ in range(10)]
    for chat in chats:
        assert (await client.post_async(chat, "[[tokens=3]]")).status_code == 202
    await system.start_worker()
    for chat in chats:
        async with client.read(f"/api/chats/{chat}/stream") as stream:
            if stream.response.status_code == 200:
                assert text_of(await stream.all()) == numbered(3)
        assert (await client.messages(chat))[1]["content"] == numbered(3)


@pytest.mark.parametrize(
    ("module", "setting", "value"),
    [
        ("services.api", "JWT_SECRET_KEY", "too short"),
        ("services.api", "JWT_SECRET_KEY", "change-me-change-me-change-me-change-me"),
        ("services.api", "DATABASE_URL", "mysql://localhost/x"),
        ("services.api", "PORT", "eighty"),
        ("services.worker", "GROQ_API_KEY", ""),
        ("services.worker", "REDIS_URL", "http://localhost"),
        ("services.worker", "TOOLS", "web_search,telepathy"),
    ],
)
async def test_an_unusable_setting_is_one_line_and_exit_code_2(
    system: System, module: str, setting: str, value: str
) -> None:
    arguments = ["generations"] if module == "services.worker" else []
    process = await asyncio.to_thread(run_module, system, module, arguments, {setting: value})
    assert process.returncode == 2
    assert process.stderr.count("\n") == 1
    told = json.loads(process.stderr)
    assert (told["event"], told["level"]) == ("settings_invalid", "critical")
    assert told["error"].startswith(f"{setting}: ")
    assert not value or value not in process.stderr


def run_module(
    system: System, module: str, arguments: list[str], settings: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    """Run a program that is to end by itself."""
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        env={**os.environ, **system.env, **settings},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=system.folder,
    )
