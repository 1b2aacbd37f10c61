"""A turn in small steps, for tests that want to step in between."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from uuid import UUID, uuid4

import psycopg

from services.worker.generations.run import Desk, run_generation
from shared.ids import GenerationId
from tests.clients import Client, Event, Stream, numbered, text_of

AGE = "UPDATE generations SET queued_at = now() - interval '1 minute', finished_at = finished_at - interval '1 minute'"
"""Makes what happened seem a minute ago, so that the sweep has been patient enough."""
SAID = 5
"""How many tokens have been said when one steps in."""


@dataclass(frozen=True)
class Posted:
    """An accepted message."""

    chat_id: int
    generation_id: GenerationId

    @property
    def stream_url(self) -> str:
        return f"/api/generations/{self.generation_id}/stream"


async def post(client: Client, content: str, chat_id: int | None = None) -> Posted:
    """Accept a message. No worker is told: these tests have none but their desk."""
    chat_id = chat_id or await client.new_chat()
    accepted = (await client.post_async(chat_id, content)).raise_for_status().json()
    return Posted(chat_id, GenerationId(UUID(accepted["generation"]["id"])))


async def answer(client: Client, desk: Desk, content: str, chat_id: int | None = None) -> tuple[Posted, list[Event]]:
    """Accept a message, generate its answer, and read it as it is made."""
    posted = await post(client, content, chat_id)
    async with client.read(posted.stream_url) as stream:
        making = asyncio.create_task(run_generation(desk, posted.generation_id))
        events = await stream.all()
        assert stream.done
    await making
    return posted, events


@dataclass
class Speech:
    """An answer that is being read while it is made."""

    posted: Posted
    stream: Stream
    events: AsyncIterator[Event]
    seen: list[Event]

    async def end(self) -> list[Event]:
        """All that was seen, when it has ended."""
        self.seen += [event async for event in self.events]
        return self.seen


@asynccontextmanager
async def speaking(client: Client, desk: Desk, words: str = "") -> AsyncIterator[Speech]:
    """An answer that has said five tokens and is held there."""
    posted = await post(client, f"{words} [[tokens=20 after={SAID} hold={uuid4().hex}]]")
    making = asyncio.create_task(run_generation(desk, posted.generation_id))
    async with client.read(posted.stream_url) as stream:
        speech = Speech(posted, stream, stream.events(), [])
        while text_of(speech.seen) != numbered(SAID):
            speech.seen.append(await anext(speech.events))
        yield speech
    making.cancel()
    with suppress(asyncio.CancelledError):
        await making


def execute(database_url: str, statement: str, *values: object) -> list[tuple[object, ...]]:
    """Change or ask the database behind everybody's back."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        cursor = connection.execute(statement.encode(), values)
        return cursor.fetchall() if cursor.description else []
