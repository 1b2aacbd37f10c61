"""How many streams a user, or a network, may have open; each is given back however it ends."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
import pytest

from services.api.stream_slots import StreamLimits, StreamSlots
from services.launcher.embedded.valkey import EmbeddedValkey
from services.worker.runtime import Worker
from shared.errors import TooManyStreams
from shared.ids import UserId
from shared.settings import Settings
from tests.conftest import settings_for
from tests.integration.conftest import serve
from tests.support.clients import NO_TLS, Client
from tests.support.raw_http import connected
from tests.support.turns import post

PER_USER = 3
PER_NETWORK = 5
FROM_OFFICE = {"X-Forwarded-For": "203.0.113.7"}


@pytest.fixture
def settings(database_url: str, valkey: EmbeddedValkey, groq_url: str) -> Settings:
    """With room for a few streams, none of which is cut for a newer one, and whose dead connections a ping finds soon."""
    return settings_for(
        database_url,
        valkey.url,
        groq_url,
        user_max_streams=PER_USER,
        network_max_streams=PER_NETWORK,
        user_stream_seconds=3600,
        stream_keep_alive_seconds=0.5,
    )


@asynccontextmanager
async def opened(client: Client, path: str = "/api/events", **headers: str) -> AsyncIterator[httpx.Response]:
    async with client.http.stream("GET", path, headers=headers) as response:
        yield response


async def is_open(client: Client, path: str = "/api/events", **headers: str) -> bool:
    """Whether one more stream may be opened."""
    async with opened(client, path, **headers) as response:
        return response.status_code == 200


async def until_open(client: Client) -> None:
    """Wait until a slot is given back: the API notices the end of a connection by itself."""
    async with asyncio.timeout(5):
        while not await is_open(client):  # noqa: ASYNC110 - the API's side offers no event
            await asyncio.sleep(0.01)


async def test_a_user_has_so_many_streams_of_all_kinds(client: Client, connect: Callable[[], Client]) -> None:
    posted = await post(client, "[[tokens=3]]")
    paths = ["/api/events", posted.stream_url, f"/api/chats/{posted.chat_id}/stream"]
    async with AsyncExitStack() as stack:
        for path in paths:
            assert (await stack.enter_async_context(opened(client, path))).status_code == 200
        for path in (*paths, f"/api/chat/{posted.chat_id}/stream"):
            refused = await client.http.get(path)
            assert (refused.status_code, refused.headers["Retry-After"]) == (429, "5"), path
            assert "too_many_streams" in refused.text + refused.headers.get("X-Error-Code", "")
        url = f"/api/chats/{posted.chat_id}/messages"
        for answer in (
            await client.http.post(url, json={"content": "Hello"}),
            await client.http.patch(f"{url}/1", json={"content": "Hello"}),
            await client.http.post(f"{url}/1/regenerate"),
            await client.http.post("/api/chat", json={"id": "x", "messages": []}),
        ):
            assert answer.status_code == 429
        assert len((await client.http.get(url)).json()) == 2
        assert (await client.http.get("/api/chats")).status_code == 200
        other = connect()
        await other.sign_up()
        assert await is_open(other)
    await until_open(client)


async def test_a_stream_with_requests_behind_it_on_its_connection_gives_its_slot_back(api: str, client: Client) -> None:
    authorization = f"Authorization: Bearer {client.token}\r\n\r\n"
    async with AsyncExitStack() as stack:
        for _ in range(PER_USER):
            socket = await stack.enter_async_context(connected(api))
            await socket.send(f"GET /api/events HTTP/1.1\r\nHost: x\r\n{authorization}".encode())
            assert (await socket.answer()).status == 200
            await socket.send(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        assert not await is_open(client)
    await until_open(client)


async def test_a_message_that_asks_for_json_needs_no_slot(client: Client) -> None:
    async with AsyncExitStack() as stack:
        for _ in range(PER_USER):
            await stack.enter_async_context(opened(client))
        assert (await post(client, "Hello")).stream_url


async def test_a_network_has_so_many_streams_of_all_its_users(client: Client, connect: Callable[[], Client]) -> None:
    other = connect()
    await other.sign_up()
    async with AsyncExitStack() as stack:
        for who in (*[client] * PER_USER, *[other] * (PER_NETWORK - PER_USER)):
            assert (await stack.enter_async_context(opened(who, **FROM_OFFICE))).status_code == 200
        assert not await is_open(other, **FROM_OFFICE)
        assert await is_open(other, **{"X-Forwarded-For": "203.0.113.8"})
        assert await is_open(other)  # of this host, which is no network


async def test_each_end_of_a_stream_gives_its_slot_back(
    client: Client, worker: Worker, connect: Callable[[], Client]
) -> None:
    for _ in range(2 * PER_USER):
        await client.http.get("/api/generations/00000000-0000-0000-0000-000000000000/stream")  # 404
        await client.http.get("/api/chats/x/stream")  # 422
    answers = [await post(client, "[[tokens=3]]") for _ in range(PER_USER)]
    async with AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(opened(client, answer.stream_url)) for answer in answers]
        assert not await is_open(client)
        for answer, stream in zip(answers, streams, strict=True):
            await worker.attempts.run(answer.generation_id)
            assert (await stream.aread()).endswith(b"[DONE]\n\n")
        await until_open(client)
    async with AsyncExitStack() as stack:
        for _ in range(PER_USER):
            await stack.enter_async_context(opened(client))
        assert not await is_open(client)
    await until_open(client)  # all of those clients have vanished


async def test_a_newer_stream_cuts_the_oldest_one_that_resumes(
    database_url: str, valkey: EmbeddedValkey, groq_url: str
) -> None:
    settings = settings_for(database_url, valkey.url, groq_url, user_max_streams=2, user_stream_seconds=0)
    async with (
        serve(settings) as url,
        httpx.AsyncClient(base_url=url, verify=NO_TLS) as http,
        AsyncExitStack() as stack,
    ):
        client = Client(http)
        await client.sign_up()
        oldest, newer = [await stack.enter_async_context(opened(client)) for _ in range(2)]
        newest = await stack.enter_async_context(opened(client))
        assert newest.status_code == 200
        with pytest.raises(httpx.RemoteProtocolError):  # cut, and not ended
            await oldest.aread()
        chat_id = await client.new_chat()
        for stream in (newer, newest):
            async for line in stream.aiter_lines():
                if "chat.created" in line:
                    break
            else:
                pytest.fail("the stream has ended")
        posted = stack.enter_async_context(
            http.stream("POST", f"/api/chats/{chat_id}/messages", json={"content": "Hello"})
        )
        assert (await posted).status_code == 200


def test_a_stream_that_is_young_or_can_not_be_resumed_is_not_cut() -> None:
    user, cut = UserId(1), list[str]()
    for is_resumable, seconds in ((True, 3600), (False, 0)):
        slots = StreamSlots(StreamLimits(1, 9, seconds))
        with slots.hold(user, None, is_resumable=is_resumable) as slot:
            slot.cut = lambda: cut.append("cut")
            with pytest.raises(TooManyStreams), slots.hold(user, None, is_resumable=True):
                pass
    assert not cut
