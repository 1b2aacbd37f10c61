"""Every client gets every event of a stream and no other: while it is made, late, and when it is made again from its row."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass, replace
from hashlib import sha256

import pytest
from redis import Redis

from services.worker.models.port import ModelChunk, ModelRequest
from services.worker.runtime import Worker
from shared.settings import Settings
from shared.streams.names import log_key
from tests.clients import readers
from tests.clients.programs import Program
from tests.clients.readers import DONE, Read
from tests.integration.conftest import serve
from tests.support.clients import Client, numbered
from tests.support.turns import Posted, post

CLIENTS = (
    "aiohttp",
    "aiosseclient",
    "curl",
    "eventsource",
    "fetch-event-source",
    "go",
    "httpx-sse",
    "sseclient",
)


@pytest.fixture(params=CLIENTS)
def read(request: pytest.FixtureRequest) -> Read:
    """Each of the clients."""
    name: str = request.param
    if name == "go":
        return readers.by_program(request.getfixturevalue("go_scanner"), of_lines=True)
    if name in {"eventsource", "fetch-event-source"}:
        node: Callable[[str], Program] = request.getfixturevalue("node")
        return readers.by_program(node(f"{name}.mjs"))
    by_name: dict[str, Read] = {
        "aiohttp": readers.with_aiohttp,
        "aiosseclient": readers.with_aiosseclient,
        "curl": readers.with_curl,
        "httpx-sse": readers.with_httpx_sse,
        "sseclient": readers.with_sseclient,
    }
    return by_name[name]


async def rest_of(events: AsyncIterator[str]) -> list[str]:
    return [data async for data in events]


def text_in(events: list[str]) -> str:
    """The text that a client renders, or of a very long one its digest. The stream has to be whole."""
    *frames, done = events
    assert done == DONE
    parts = [json.loads(data) for data in frames]
    assert [part["type"] for part in parts].count("finish") == 1
    return shown("".join(part["delta"] for part in parts if part["type"] == "text-delta"))


def shown(text: str) -> str:
    """A text that a failure of the test can show."""
    return text if len(text) < 1_000 else f"{len(text)} characters, {sha256(text.encode()).hexdigest()}"


async def test_signs_of_life_are_no_events(read: Read, client: Client, worker: Worker, settings: Settings) -> None:
    async with serve(settings.model_copy(update={"stream_keep_alive_seconds": 0.6})) as url:
        posted = await post(client, "[[tokens=5]]")
        async with aclosing(read(url + posted.stream_url, client.token)) as events:  # type: ignore[type-var]
            first = await anext(events)
            assert json.loads(first)["data"]["status"] == "queued"
            client.http.base_url = url
            await ping(client, posted)
            making = asyncio.create_task(worker.attempts.run(posted.generation_id))
            assert text_in([first, *await rest_of(events)]) == numbered(5)
            await making


async def ping(client: Client, posted: Posted) -> None:
    """Wait until all readers of an answer have had a sign of life."""
    async with client.read(posted.stream_url) as stream:
        async for line in stream.response.aiter_lines():
            if line == ": ping":
                return
    raise AssertionError("the stream ended without a sign of life")


@dataclass(frozen=True)
class Talkative:
    """A model that says a long text in large chunks."""

    chunks: tuple[str, ...]

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelChunk, None]:  # noqa: ARG002
        for chunk in self.chunks:
            yield ModelChunk(chunk)
        yield ModelChunk(finish_reason="stop")


LONG = tuple(f"{number}: Grüße, 世界 😀 \u2028 \x07 " * 2_200 for number in range(16))
"""One megabyte in 16 chunks, with characters of every length."""


async def test_a_long_answer_comes_whole_live_late_and_from_its_row(
    read: Read, client: Client, worker: Worker, settings: Settings
) -> None:
    loop = replace(worker.attempts.answer_loop, model=Talkative(LONG), max_reply_chars=2_000_000)
    attempts = replace(worker.attempts, answer_loop=loop)
    posted = await post(client, "Tell me everything.")
    url = f"{client.http.base_url}{posted.stream_url}"
    async with aclosing(read(url, client.token)) as events:  # type: ignore[type-var]
        first = await anext(events)
        making = asyncio.create_task(attempts.run(posted.generation_id))
        live = [first, *await rest_of(events)]
        await making
    assert text_in(live) == shown("".join(LONG))
    assert text_in(await rest_of(read(url, client.token))) == shown("".join(LONG))
    with Redis.from_url(settings.redis_url) as redis:
        assert redis.delete(log_key(posted.generation_id)) == 1
    assert text_in(await rest_of(read(url, client.token))) == shown("".join(LONG))
