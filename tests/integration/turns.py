"""A turn in small steps, for tests that want to step in between."""

import asyncio
from dataclasses import dataclass
from uuid import UUID

import psycopg

from services.worker.generations.run import Desk, run_generation
from shared.ids import GenerationId
from tests.clients import Client, Event


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


def execute(database_url: str, statement: str, *values: object) -> list[tuple[object, ...]]:
    """Change or ask the database behind everybody's back."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        cursor = connection.execute(statement.encode(), values)
        return cursor.fetchall() if cursor.description else []
