"""A turn in small steps, for tests that want to step in between."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from services.worker.app import open_worker
from services.worker.runtime import Worker
from shared.ids import ChatId, GenerationId, OperationId
from shared.jobs.sender import JobSender
from shared.settings import Settings
from shared.telemetry.traces import TraceContext, current_trace
from tests.support.clients import Client, Event, Stream, numbered, text_of
from tests.support.feeds import telling

AGE = "UPDATE generations SET queued_at = now() - interval '1 minute', finished_at = finished_at - interval '1 minute'"
"""Makes what happened seem a minute ago, so that the sweep has been patient enough."""
RETRY_DELAYS = (0.01, 0.02)
"""Seconds before a model is asked again: a model's double has nothing to recover from."""
SAID = 5
"""How many tokens have been said when one steps in."""


class Noted(JobSender):
    """Jobs that are noted instead of sent: what was to be taken, in which traces, and what to be titled and summarized."""

    def __init__(self) -> None:
        super().__init__(lambda *_: None)
        self.generations: list[GenerationId] = []
        self.traces: list[TraceContext | None] = []
        self.titles: list[GenerationId] = []
        self.chats: list[ChatId] = []
        self.operations: list[OperationId] = []
        self.mails: list[int] = []

    def generate(self, generation_id: GenerationId) -> None:
        self.generations.append(generation_id)
        self.traces.append(current_trace())

    def commit(self, operation_id: OperationId) -> None:
        self.operations.append(operation_id)

    def mail(self, mail_id: int) -> None:
        self.mails.append(mail_id)

    def title(self, generation_id: GenerationId) -> None:
        self.titles.append(generation_id)

    def summarize(self, chat_id: ChatId) -> None:
        self.chats.append(chat_id)


@dataclass(frozen=True)
class Posted:
    """An accepted message."""

    chat_id: int
    generation_id: GenerationId

    @classmethod
    def of(cls, chat_id: int, accepted: dict[str, Any]) -> "Posted":
        """What a 202 says."""
        return cls(chat_id, GenerationId(UUID(accepted["generation"]["id"])))

    @property
    def stream_url(self) -> str:
        return f"/api/generations/{self.generation_id}/stream"


async def post(client: Client, content: str, chat_id: int | None = None) -> Posted:
    """Accept a message. Nobody takes the job: these tests run the only worker, in their own process."""
    chat_id = chat_id or await client.new_chat()
    accepted = (await client.post_async(chat_id, content)).raise_for_status().json()
    return Posted.of(chat_id, accepted)


@asynccontextmanager
async def open_worker_for(settings: Settings, jobs: Noted | None = None) -> AsyncIterator[Worker]:
    """A worker with settings of its own, which asks a model again almost at once."""
    async with open_worker(settings, jobs or Noted(), retry_delays=RETRY_DELAYS) as opened:
        with telling(opened.recovery.feed):
            yield opened


async def answer(
    client: Client, worker: Worker, content: str, chat_id: int | None = None
) -> tuple[Posted, list[Event]]:
    """Accept a message, generate its answer, and read it as it is made."""
    posted = await post(client, content, chat_id)
    async with client.read(posted.stream_url) as stream:
        making = asyncio.create_task(worker.attempts.run(posted.generation_id))
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
async def abandoned(client: Client, worker: Worker, content: str, said: str) -> AsyncIterator[Speech]:
    """An answer whose worker died when its reader, who reads on, had just this of it."""
    posted = await post(client, content)
    dying = asyncio.create_task(worker.attempts.run(posted.generation_id))
    async with client.read(posted.stream_url) as stream:
        speech = Speech(posted, stream, stream.events(), [])
        while text_of(speech.seen) != said:
            speech.seen.append(await anext(speech.events))
        dying.cancel()
        await asyncio.wait([dying])
        yield speech


@asynccontextmanager
async def speaking(client: Client, worker: Worker, words: str = "") -> AsyncIterator[Speech]:
    """An answer that has said five tokens and is held there."""
    posted = await post(client, f"{words} [[tokens=20 after={SAID} hold={uuid4().hex}]]")
    making = asyncio.create_task(worker.attempts.run(posted.generation_id))
    async with client.read(posted.stream_url) as stream:
        speech = Speech(posted, stream, stream.events(), [])
        while text_of(speech.seen) != numbered(SAID):
            speech.seen.append(await anext(speech.events))
        yield speech
    making.cancel()
    with suppress(asyncio.CancelledError):
        await making


def without_look_up(content: str) -> tuple[str, list[int]]:
    """A user's message as it was written, without what was looked up for it, and the positions of that."""
    quoted, is_quoted, question = content.rpartition("\n\nThat was quoted. The user's message follows.\n\n")
    if not is_quoted:
        return content, []
    notice, _, records = quoted.partition("\n")
    assert notice.startswith("Looked up in this chat")
    return question, [record["position"] for record in json.loads(records)]


def without_record(content: str) -> str:
    """The first user's message of a conversation as it was written, without what is told of the chat's memory."""
    return content.rpartition("\n\nThat was the record. The conversation goes on.\n\n")[2]


def logged(caplog: pytest.LogCaptureFixture, event: str) -> list[dict[str, Any]]:
    """The fields of all log lines of this event."""
    fields: list[dict[str, Any]] = [record.msg for record in caplog.records if isinstance(record.msg, dict)]
    return [line for line in fields if line["event"] == event]


def wait_for_waiters(other: psycopg.Connection[tuple[object, ...]], many: int) -> None:
    """Ask until so many of the database's sessions wait for a lock."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    while other.execute(waiting).fetchone() != (many,):
        other.execute("SELECT pg_stat_clear_snapshot()")


def execute(database_url: str, statement: str, *values: object) -> list[tuple[object, ...]]:
    """Change or ask the database behind everybody's back."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        cursor = connection.execute(statement.encode(), values)
        return cursor.fetchall() if cursor.description else []
