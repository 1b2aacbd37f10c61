"""What is too long for a model is made shorter and asked for again; what can't be made shorter is told in a sentence."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass, field, replace

import pytest

from services.launcher.embedded.valkey import EmbeddedValkey
from services.worker.models.capabilities import LEAST_CONTEXT_TOKENS, ModelCatalog
from services.worker.models.port import ChatModel, ModelChunk, ModelRequest, RetryNotice
from services.worker.models.tokens import SMALL, count_tokens
from services.worker.prompts import CUT
from services.worker.runtime import Worker
from shared.errors import PromptTooLong
from shared.ids import ChatId
from tests.conftest import settings_for
from tests.support.clients import Client, error_of, numbered, text_of, types_of
from tests.support.texts import TEXTS
from tests.support.turns import answer, execute, logged, open_worker_for

CONTEXT, ANSWER = 8_000, 500
PAST = "INSERT INTO messages (chat_id, role, content, position, status) VALUES (%s, %s, %s, %s, 'completed')"


@dataclass
class Narrow:
    """A model in front of another one: it refuses prompts of more than `most` tokens, by a count of its own.

    `named` is the limit that it names; `factor` is how much more it counts than this service. `sent` are the counts.
    """

    inner: ChatModel
    most: int
    named: int | None = None
    factor: float = 1.0
    sent: list[int] = field(default_factory=list)
    requests: list[ModelRequest] = field(default_factory=list)

    async def stream(self, request: ModelRequest) -> AsyncGenerator[ModelChunk | RetryNotice, None]:
        counted = sum(count_tokens(message, SMALL) for message in request.conversation)
        self.sent.append(counted)
        self.requests.append(request)
        if counted * self.factor > self.most:
            raise PromptTooLong(limit=self.named)
        async with aclosing(self.inner.stream(request)) as chunks:
            async for chunk in chunks:
                yield chunk


def narrowed(worker: Worker, most: int, named: int | None = None, factor: float = 1.0) -> tuple[Worker, Narrow]:
    """The worker with a model that takes less than is known of it."""
    loop = worker.attempts.answer_loop
    narrow = Narrow(loop.model, most, named, factor)
    attempts = replace(worker.attempts, answer_loop=replace(loop, model=narrow))
    return replace(worker, attempts=attempts, summarizer=replace(worker.summarizer, model=narrow)), narrow


@pytest.fixture
async def worker(database_url: str, valkey: EmbeddedValkey, groq_url: str) -> AsyncIterator[Worker]:
    """A worker of its own, since it learns."""
    settings = settings_for(
        database_url, valkey.url, groq_url, model_context_tokens=CONTEXT, model_max_tokens=ANSWER, history_window=400
    )
    async with open_worker_for(settings) as opened:
        yield opened


async def chat_with_a_past(client: Client, database_url: str, messages: int = 120, text: str = TEXTS["english"]) -> int:
    """A chat of so many messages."""
    chat = await client.new_chat()
    for position in range(1, messages + 1):
        execute(database_url, PAST, chat, "user" if position % 2 else "assistant", text, position)
    execute(database_url, "UPDATE chats SET last_position = %s WHERE id = %s", messages, chat)
    return chat


def catalog(worker: Worker) -> ModelCatalog:
    return worker.attempts.answer_loop.models


@pytest.mark.parametrize("named", [1_600, None, 1_000_000])
async def test_a_prompt_that_is_too_long_is_made_shorter_and_asked_again_at_once(
    client: Client, worker: Worker, database_url: str, caplog: pytest.LogCaptureFixture, named: int | None
) -> None:
    """The endpoint names its limit, or none, or one that has nothing to do with it."""
    chat = await chat_with_a_past(client, database_url)
    worker, narrow = narrowed(worker, 1_600, named)
    _, events = await answer(client, worker, "And? [[tokens=4]]", chat)
    assert (text_of(events), types_of(events)[-1]) == (numbered(4), "finish")
    assert narrow.sent == sorted(narrow.sent, reverse=True)
    assert 2 <= len(narrow.sent) <= (2 if named == 1_600 else 4)
    assert narrow.sent[-1] > 600
    statuses = [event.part["data"] for event in events if event.part["type"] == "data-status"]
    assert any(status["status"] == "trimmed" for status in statuses)
    learned = catalog(worker).of("double").context_tokens
    assert learned < CONTEXT
    assert logged(caplog, "context_learned")[-1]["tokens"] == learned

    # What was learned holds for the next answer.
    narrow.sent.clear()
    _, events = await answer(client, worker, "And then? [[tokens=4]]", chat)
    assert types_of(events)[-1] == "finish"
    assert len(narrow.sent) == 1
    assert narrow.requests[-1].max_tokens is not None
    assert narrow.sent[0] + narrow.requests[-1].max_tokens <= learned


async def test_an_endpoint_that_counts_more_than_this_service_is_asked_for_less_and_less(
    client: Client, worker: Worker, database_url: str
) -> None:
    chat = await chat_with_a_past(client, database_url)
    worker, narrow = narrowed(worker, CONTEXT, CONTEXT, factor=3.0)
    _, events = await answer(client, worker, "And? [[tokens=4]]", chat)
    assert types_of(events)[-1] == "finish"
    assert len(narrow.sent) <= 3


@pytest.mark.parametrize("script", ["english", "chinese", "emoji", "digits", "python"])
async def test_a_message_that_is_too_long_alone_is_told_and_the_chat_lives_on(
    client: Client, worker: Worker, script: str
) -> None:
    worker, narrow = narrowed(worker, 1_500, 2_000)
    chat = await client.new_chat()
    await answer(client, worker, "My name is Zelda. [[tokens=2]]", chat)
    content = (TEXTS[script] * 32_000)[:32_000]
    _, events = await answer(client, worker, content, chat)
    assert events[-1].part["type"] == "error"
    assert error_of(events) == "prompt_too_long"
    assert events[-1].part["errorText"] == PromptTooLong.default_message()
    assert len(narrow.sent) <= 4
    _, events = await answer(client, worker, "Who am I? [[tokens=3 strict]]", chat)
    assert (text_of(events), types_of(events)[-1]) == (numbered(3), "finish")
    told = [message.content for message in narrow.requests[-1].conversation]
    assert "My name is Zelda" in told[1]
    assert CUT in told[-1]


async def test_a_context_is_never_learned_to_be_smaller_than_any_model_has(client: Client, worker: Worker) -> None:
    worker, narrow = narrowed(worker, 0, 3)
    _, events = await answer(client, worker, "Hello [[tokens=2]]")
    assert error_of(events) == "prompt_too_long"
    assert len(narrow.sent) == 1
    assert catalog(worker).of("double").context_tokens == LEAST_CONTEXT_TOKENS
    assert catalog(worker).with_fallback("double").prompt_tokens >= LEAST_CONTEXT_TOKENS // 2
    assert catalog(worker).of("another").context_tokens == CONTEXT
    narrow.most = 1_000
    _, events = await answer(client, worker, "Hello [[tokens=2]]")
    assert types_of(events)[-1] == "finish"


@pytest.mark.parametrize("named", [1_800, None])
async def test_a_summary_that_is_too_long_to_ask_for_is_made_of_fewer_messages(
    client: Client, worker: Worker, database_url: str, named: int | None
) -> None:
    chat = await chat_with_a_past(client, database_url)
    worker, narrow = narrowed(worker, 1_400, named)
    summarizer = replace(worker.summarizer, window=2, chunk_messages=20)
    assert await summarizer.summarize_now(ChatId(chat))
    (row,) = execute(database_url, "SELECT summary_position, summary_failures FROM chats WHERE id = %s", chat)
    position, failures = (int(str(value)) for value in row)
    assert position > 0
    assert failures == 0
    assert narrow.sent[0] > narrow.most >= narrow.sent[-1]
    assert catalog(worker).of("double").context_tokens < CONTEXT


@pytest.mark.parametrize("script", ["chinese", "korean", "emoji", "digits"])
async def test_a_message_of_any_script_can_be_summarized(
    client: Client, worker: Worker, database_url: str, script: str
) -> None:
    chat = await chat_with_a_past(client, database_url, 4, (TEXTS[script] * 32_000)[:32_000])
    worker, narrow = narrowed(worker, CONTEXT - ANSWER, CONTEXT)
    # Not while an answer waits: that leaves the model a second and a half.
    summarizer = replace(worker.summarizer, window=1, chunk_messages=1)
    await summarizer.ask_if_due(ChatId(chat))
    await summarizer.summarize(ChatId(chat))
    assert max(narrow.sent) <= CONTEXT - ANSWER
    assert execute(database_url, "SELECT summary_position FROM chats WHERE id = %s", chat) == [(3,)]
