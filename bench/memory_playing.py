"""Plays a corpus in a real worker over real servers, and asks questions as the next message of its chat."""

import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from math import ceil
from pathlib import Path
from secrets import token_hex
from typing import Any, Final, NamedTuple

import psycopg
from alembic import command
from memory_corpus import Spoken
from memory_summarizers import Behaviour, ScriptedSummarizer

from services.api.turns.queries import Bounds, open_turn
from services.api.turns.turn import NewTurn
from services.launcher.embedded.postgres import EmbeddedPostgres
from services.launcher.embedded.valkey import EmbeddedValkey
from services.launcher.migrations import configuration
from services.worker.app import open_worker
from services.worker.generations.attempt import Attempts
from services.worker.generations.earlier_messages import find, scope_of, with_found
from services.worker.generations.history import load_history, without_forgotten
from services.worker.generations.prompt_size import Prompt, today_in
from services.worker.models.port import ModelChunk, ModelMessage, ModelRequest
from services.worker.models.retry import RetryingModel
from services.worker.models.tokens import count_text, count_tokens, vocabulary_of
from services.worker.summaries.summarizer import Summarizer
from services.worker.tools.port import ChatContext
from shared.database.engine import Connection
from shared.database_urls import to_sqlalchemy
from shared.generations.claim import claim
from shared.ids import ChatId, GenerationId, UserId
from shared.jobs.sender import JobSender
from shared.settings import Settings
from shared.telemetry.logs import configure_logging
from shared.token_usage import TokenUsage

NO_BOUNDS: Final = Bounds(1_000, 1_000, None)
LATER: Final = "UPDATE chats SET summary_due_at = summary_due_at - interval '1 minute' WHERE summary_due_at IS NOT NULL"
"""Makes a minute pass for what waits, since people need about so long for a turn."""
MOST_JOBS: Final = 50
LEASE: Final = timedelta(minutes=1)


class Servers(NamedTuple):
    """Where PostgreSQL and Valkey listen."""

    database_url: str
    redis_url: str


@contextmanager
def servers() -> Iterator[Servers]:
    """PostgreSQL with the tables, and Valkey: their own, and gone afterwards."""
    configure_logging(service="bench", level="critical", log_format="json")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        with (
            EmbeddedPostgres(place / "pg", durable=False) as postgres,
            EmbeddedValkey(place / "vk", appendonly=False) as valkey,
        ):
            command.upgrade(configuration(to_sqlalchemy(postgres.url)), "head")
            yield Servers(postgres.url, valkey.url)


class Jobs(JobSender):
    """Notes which chats are to be summarized, instead of waking another process."""

    def __init__(self) -> None:
        super().__init__(lambda *_: None)
        self.chats: list[ChatId] = []

    def summarize(self, chat_id: ChatId) -> None:
        """Note a chat."""
        self.chats.append(chat_id)


@dataclass
class ScriptedAnswers:
    """A model that says what it is told to say, and keeps the newest request."""

    text: str = ""
    asked: ModelRequest | None = None

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelChunk, None]:
        """The text that was set."""
        self.asked, vocabulary = request, vocabulary_of(request.model)
        prompt = sum(count_tokens(message, vocabulary) for message in request.conversation)
        prompt += sum(int(count_text(repr(tool), vocabulary)) for tool in request.tools)
        size = ceil(count_text(self.text, vocabulary))
        yield ModelChunk(self.text, finish_reason="stop", usage=TokenUsage(prompt, size, prompt + size))


class Segment(NamedTuple):
    """Positions that the memory stands for."""

    first: int
    last: int


class _NotKept(Exception):
    """Rolls a transaction back."""


@dataclass
class Chat:
    """A chat that is being played. `summarizer` and `attempts` are a real worker's, with scripted models."""

    summarizer: Summarizer
    attempts: Attempts
    answers: ScriptedAnswers
    summaries: ScriptedSummarizer
    jobs: Jobs
    connection: psycopg.Connection[Any]
    user_id: UserId
    chat_id: ChatId
    said: list[Spoken] = field(default_factory=list)

    async def turn(self, question: Spoken, answer: Spoken) -> Sequence[ModelMessage]:
        """One turn through an attempt, and the summaries that are due then. Returns what the answer's model was told."""
        self.answers.text = answer.text
        async with self.summarizer.database.connect() as db:
            generation = await self._open_turn(db, question.text)
        await self.attempts.run(generation)
        self.said += [question, answer]
        if self.answers.asked is None:
            raise RuntimeError("the model was not asked")
        told = self.answers.asked.conversation
        await self._summarize()
        return told

    async def say(self, messages: Sequence[Spoken]) -> None:
        """A turn whose answer is there already."""
        for message in messages:
            self.connection.execute(
                "WITH chat AS (UPDATE chats SET last_position = last_position + 1 WHERE id = %s RETURNING *)"
                " INSERT INTO messages (chat_id, role, content, position, status)"
                " SELECT id, %s, %s, last_position, 'completed' FROM chat",
                (self.chat_id, message.role, message.text),
            )
        self.said += messages
        await self.summarizer.ask_if_due(self.chat_id)
        await self._summarize()

    async def ask(self, question: str) -> tuple[Sequence[ModelMessage], str]:
        """What the model would be told if the question came next, and all that the index found for it.

        Not all that is found is quoted: what the memory says need not be said twice. The chat stays as it is.
        """
        loop = self.attempts.answer_loop
        told: Sequence[ModelMessage] = ()
        found = ""
        with suppress(_NotKept):
            async with self.summarizer.database.begin() as db:
                generation = await self._open_turn(db, question)
                claimed = await claim(db, generation, LEASE)
                if claimed is None:
                    raise RuntimeError("the question was not claimed")
                history = await without_forgotten(await load_history(db, claimed))
                looked_up = await find(loop.index, scope_of(claimed), claimed.said_last or ())
                history = with_found(history, looked_up)
                found = "\n".join(message.text for message in history.looked_up)
                bounds = loop.models.with_fallback(loop.models.choose(claimed.model))
                chat = ChatContext(claimed.user_id, claimed.chat_id, history.memory.watermark, generation)
                tools = loop.tools.in_chat(chat)
                prompt = Prompt(today_in(claimed.time_zone), loop.max_facts, tools.descriptions)
                told = prompt.build(history, [], bounds, with_tools=bounds.tools).conversation
                raise _NotKept
        return told, found

    async def _open_turn(self, db: Connection, text: str) -> GenerationId:
        turn = await open_turn(db, NewTurn(self.user_id, self.chat_id, text), None, NO_BOUNDS)
        if turn is None:
            raise RuntimeError("the message was refused")
        return turn.generation_id

    async def _summarize(self) -> None:
        """Do the jobs that were sent; then let a minute pass, and those that a sweep sends."""
        for passes in range(2):
            for _ in range(MOST_JOBS):
                if not self.jobs.chats:
                    break
                await self.summarizer.summarize(self.jobs.chats.pop(0))
            if not passes:
                self.connection.execute(LATER)
                await self.summarizer.resend_lost()

    def covered(self) -> tuple[int, list[Segment]]:
        """The watermark and the segments."""
        row = self.connection.execute("SELECT summary_position FROM chats WHERE id = %s", (self.chat_id,)).fetchone()
        segments = self.connection.execute(
            "SELECT first_position, last_position FROM memory_segments WHERE chat_id = %s AND last_position > 0"
            " ORDER BY first_position",
            (self.chat_id,),
        ).fetchall()
        return (row[0] if row else 0), [Segment(*one) for one in segments]

    def tokens(self) -> dict[str, int]:
        """The tokens of this user's model calls, by purpose."""
        rows = self.connection.execute(
            "SELECT purpose, sum(total_tokens)::bigint FROM model_calls WHERE user_id = %s GROUP BY purpose",
            (self.user_id,),
        )
        return dict(rows.fetchall())


@asynccontextmanager
async def new_chat(place: Servers, behaviour: Behaviour) -> AsyncIterator[Chat]:
    """An empty chat of a new user's, with a summarizer that behaves so."""
    jobs, answers, summaries = Jobs(), ScriptedAnswers(), ScriptedSummarizer(behaviour)
    settings = Settings.load(
        _env_file=None, database_url=place.database_url, redis_url=place.redis_url, jwt_secret_key=token_hex(),
        groq_api_key="none",
    )  # fmt: skip
    with psycopg.connect(place.database_url, autocommit=True) as connection:
        row = connection.execute(
            "INSERT INTO users (email, password_hash) VALUES (gen_random_uuid() || '@example.com', '-') RETURNING id"
        ).fetchone()
        user_id = row[0] if row else 0
        row = connection.execute("INSERT INTO chats (user_id) VALUES (%s) RETURNING id", (user_id,)).fetchone()
        chat_id = row[0] if row else 0
        async with open_worker(settings, jobs) as worker:
            model = RetryingModel(summaries, fallback=None, delays=(0, 0))
            summarizer = replace(worker.summarizer, model=model)
            loop = replace(
                worker.attempts.answer_loop,
                model=RetryingModel(answers, fallback=None, delays=(0, 0)),
                summarize_now=summarizer.summarize_now,
            )
            attempts = replace(worker.attempts, answer_loop=loop, ask_for_summary=summarizer.ask_if_due)
            yield Chat(summarizer, attempts, answers, summaries, jobs, connection, UserId(user_id), ChatId(chat_id))
