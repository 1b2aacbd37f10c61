"""Answers that wait for a person's decision: one stream over the wait, whatever happens meanwhile."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from redis import Redis
from sqlalchemy import select
from sqlalchemy.exc import OperationalError

from services.launcher.embedded.valkey import EmbeddedValkey
from services.worker.generations.attempt import Attempts
from services.worker.generations.saving import ReplyStore
from services.worker.runtime import Worker
from shared.database.engine import open_database
from shared.database.tables import Operation
from shared.errors import OperationNotPending
from shared.generations.claim import claim
from shared.generations.recover import oldest_queued
from shared.ids import GenerationId, OperationId, UserId
from shared.operations.decisions import approve
from shared.operations.rows import find_operation
from shared.settings import Settings
from shared.streams.names import log_key
from tests.conftest import settings_for
from tests.doubles import groq_control, tavily_control
from tests.support.asking import NAME, Asking
from tests.support.clients import Client, Event, Stream, numbered, text_of, types_of
from tests.support.turns import AGE, Posted, execute, post, wait_for_waiters

ROW = "SELECT status, lease_expires_at, slot FROM generations WHERE id = '{}'"


@pytest.fixture
def settings(database_url: str, valkey: EmbeddedValkey, groq_url: str, tavily_url: str) -> Settings:
    """With a key for the web search."""
    return settings_for(
        database_url,
        valkey.url,
        groq_url,
        tavily_api_key="tvly-test",
        tavily_base_url=tavily_url,
        user_max_live_generations=3,
        stream_keep_alive_seconds=0.2,
    )


@pytest.fixture
async def asking(settings: Settings) -> AsyncIterator[Asking]:
    """The tool, and the decisions."""
    database = open_database(settings.database_url, pool_size=2)
    yield Asking(database)
    await database.dispose()


@pytest.fixture
def attempts(worker: Worker, asking: Asking) -> Attempts:
    """The worker's attempts, with the tool."""
    return asking.attempts(worker.attempts)


async def ask(client: Client, groq_url: str, behaviour: str = "after=2") -> Posted:
    """Post a message whose answer behaves like this, by default says two words, asks a person, and says four words."""
    mark = uuid4().hex
    await groq_control.script(groq_url, f"tool={NAME} {behaviour}", marker=mark, arguments={"what": mark})
    return await post(client, f"{mark} [[tokens=4]]")


@dataclass
class Reading:
    """An open stream, read step by step. `seen` are the events so far."""

    stream: Stream
    events: AsyncIterator[Event]
    seen: list[Event] = field(default_factory=list)

    @classmethod
    def of(cls, stream: Stream) -> "Reading":
        return cls(stream, stream.events())

    async def until_asked(self) -> list[Event]:
        """Read up to the frame that says what is proposed."""
        while not approvals(self.seen):
            self.seen.append(await anext(self.events))
        return self.seen

    async def to_the_end(self) -> list[Event]:
        """All events, when the stream has ended."""
        self.seen += [event async for event in self.events]
        return self.seen


@asynccontextmanager
async def waiting(
    client: Client, attempts: Attempts, groq_url: str, behaviour: str = "after=2"
) -> AsyncIterator[tuple[Posted, Reading]]:
    """An answer that waits, and its open stream, read as far as it goes."""
    posted = await ask(client, groq_url, behaviour)
    async with client.read(posted.stream_url) as stream:
        reading = Reading.of(stream)
        asked = asyncio.create_task(reading.until_asked())
        await attempts.run(posted.generation_id)
        await asked
        yield posted, reading


async def go_on(attempts: Attempts, posted: Posted, *readings: Reading) -> list[list[Event]]:
    """Make the rest of the answer. Returns all that each reader has."""
    going_on = asyncio.create_task(attempts.run(posted.generation_id))
    events = await asyncio.gather(*(reading.to_the_end() for reading in readings))
    await going_on
    return list(events)


def statuses(events: list[Event]) -> list[str]:
    """What readers were told is being done."""
    return [event.part["data"]["status"] for event in events if event.part["type"] == "data-status"]


def approvals(events: list[Event]) -> list[dict[str, Any]]:
    """What was told of the operations."""
    return [event.part for event in events if event.part["type"] == "data-approval"]


async def test_an_answer_waits_for_the_decision_and_goes_on_in_the_same_stream(
    client: Client, attempts: Attempts, asking: Asking, groq_url: str, database_url: str
) -> None:
    async with waiting(client, attempts, groq_url) as (posted, reading):
        (operation_id,) = asking.proposed
        wish = asking.wishes[-1]
        before = list(reading.seen)
        call = next(event.part for event in before if event.part["type"] == "tool-input-available")
        proposed = {"toolCallId": call["toolCallId"], "status": "proposed"}
        assert approvals(before) == [{"type": "data-approval", "id": str(operation_id), "data": proposed}]
        assert execute(database_url, ROW.format(posted.generation_id)) == [("awaiting_approval", None, None)]

        resumed = await asking.decide("committed", counts={"updated": 3})
        assert resumed is not None
        assert resumed.id == posted.generation_id
        (events,) = await go_on(attempts, posted, reading)
        assert reading.stream.done
    assert [kind for kind in types_of(events) if kind != "data-status"] == [
        *("start", "start-step", "text-start", "text-delta", "text-end", "tool-input-available", "data-approval"),
        *("start", "data-approval", "tool-output-available", "finish-step"),
        *("start-step", "text-start", "text-delta", "text-end", "finish-step", "finish"),
    ]
    assert [told["data"]["status"] for told in approvals(events)] == ["proposed", "committed"]
    _, reply = await client.messages(posted.chat_id)
    assert reply["content"] == text_of(events) == numbered(2) + "\n\n" + numbered(4)
    assert [part["type"] for part in reply["parts"]] == [
        *("step-start", "text", "dynamic-tool", "data-approval", "step-start", "text"),
    ]
    assert reply["parts"][3]["data"]["status"] == "committed"
    (_, second) = await groq_control.requests(groq_url, containing=wish, ended=2)
    *_, told = second["body"]["messages"]
    assert '"updated":3' in told["content"].replace(" ", "")


async def test_an_answer_that_waited_counts_what_it_took_before_and_no_time_of_the_person(
    client: Client, attempts: Attempts, asking: Asking, groq_url: str, database_url: str
) -> None:
    first_token = "SELECT first_token_at FROM generations WHERE started_at <= first_token_at"
    async with waiting(client, attempts, groq_url) as (posted, reading):
        (said,) = execute(database_url, first_token)
        execute(database_url, "UPDATE generations SET created_at = now() - interval '1 day'")
        await asking.decide("committed")
        assert 0 <= await oldest_queued(asking.database) < 60
        (events,) = await go_on(attempts, posted, reading)
    assert execute(database_url, first_token) == [said]
    ((taken, calls),) = execute(
        database_url, "SELECT sum(total_tokens), count(*) FROM model_calls WHERE purpose = 'generation'"
    )
    assert calls == 2
    assert events[-1].part["messageMetadata"]["usage"]["totalTokens"] == taken
    kept = "SELECT (g.usage->'total_tokens')::int, (m.usage->'total_tokens')::int FROM generations g"
    assert execute(database_url, f"{kept} JOIN messages m ON m.id = assistant_message_id") == [(taken, taken)]


@pytest.mark.parametrize("status", ["refused", "stale", "expired", "failed"])
async def test_an_answer_goes_on_when_nothing_came_of_what_it_proposed(
    client: Client, attempts: Attempts, asking: Asking, groq_url: str, status: str
) -> None:
    async with waiting(client, attempts, groq_url) as (posted, reading):
        await asking.decide(status)
        (events,) = await go_on(attempts, posted, reading)
    assert approvals(events)[-1]["data"]["status"] == status
    (error,) = [event.part for event in events if event.part["type"] == "tool-output-error"]
    assert error["errorText"]
    assert text_of(events).endswith(numbered(4))


async def test_a_chat_whose_answer_waits_takes_no_message_and_the_user_may_use_all_slots(
    client: Client, attempts: Attempts, groq_url: str, settings: Settings
) -> None:
    async with waiting(client, attempts, groq_url) as (posted, _):
        refused = await client.post_async(posted.chat_id, "And?")
        assert (refused.status_code, refused.json()["code"]) == (409, "generation_in_progress")
        _, reply = await client.messages(posted.chat_id)
        assert (reply["status"], reply["generation"]["status"]) == ("pending", "awaiting_approval")
        for _ in range(settings.user_max_live_generations):
            await post(client, "Hello")


async def test_every_view_tells_that_an_answer_waits(client: Client, attempts: Attempts, groq_url: str) -> None:
    async with waiting(client, attempts, groq_url) as (posted, _):
        _, reply = await client.messages(posted.chat_id)
        shown = (await client.http.get(f"/api/generations/{posted.generation_id}")).raise_for_status().json()
    assert (reply["generation"]["status"], reply["generation"]["is_final"]) == ("awaiting_approval", False)
    assert [part["type"] for part in reply["parts"]] == ["step-start", "text", "dynamic-tool", "data-approval"]
    assert (shown["status"], shown["finished_at"]) == ("awaiting_approval", None)


async def test_a_decision_that_comes_before_the_pause_is_seen(
    client: Client, worker: Worker, asking: Asking, groq_url: str, sent: list[GenerationId]
) -> None:
    asking.decided_with = "committed"
    attempts = asking.attempts(worker.attempts)
    posted = await ask(client, groq_url)
    async with client.read(posted.stream_url) as stream:
        reading = asyncio.create_task(stream.all())
        await attempts.run(posted.generation_id)
        assert sent == [posted.generation_id]
        await attempts.run(posted.generation_id)
        events = await reading
    assert [told["data"]["status"] for told in approvals(events)] == ["proposed", "committed"]
    assert text_of(events) == numbered(2) + "\n\n" + numbered(4)


async def test_an_answer_goes_on_when_all_that_it_asked_for_is_decided(
    client: Client, attempts: Attempts, asking: Asking, groq_url: str, database_url: str
) -> None:
    mark = uuid4().hex
    two = [{"what": mark}, {"what": f"{mark} too"}]
    await groq_control.script(groq_url, f"tool={NAME} after=2", marker=mark, arguments=two)
    posted = await post(client, f"{mark} [[tokens=4]]")
    async with client.read(posted.stream_url) as stream:
        reading = asyncio.create_task(stream.all())
        await attempts.run(posted.generation_id)
        first, second = asking.proposed
        assert await asking.decide("committed", first) is None
        await attempts.run(posted.generation_id)  # a job that comes too early
        assert execute(database_url, ROW.format(posted.generation_id))[0][0] == "awaiting_approval"
        assert await asking.decide("refused", second) is not None
        await attempts.run(posted.generation_id)
        events = await reading
    told = [(one["id"], one["data"]["status"]) for one in approvals(events)]
    # The two calls are made at the same time.
    assert set(told[:2]) == {(str(first), "proposed"), (str(second), "proposed")}
    assert set(told[2:]) == {(str(first), "committed"), (str(second), "refused")}
    assert len(told) == 4


@pytest.mark.parametrize("failure", [TimeoutError(), OperationalError("COMMIT", {}, Exception())], ids=repr)
async def test_an_answer_waits_for_what_a_call_has_proposed_that_failed_afterwards(
    client: Client, worker: Worker, asking: Asking, groq_url: str, failure: Exception
) -> None:
    asking.fails_with = failure
    async with waiting(client, asking.attempts(worker.attempts), groq_url) as (_, reading):
        (operation_id,) = asking.proposed
        (told,) = approvals(reading.seen)
        assert (told["id"], told["data"]["status"]) == (str(operation_id), "proposed")
        assert "tool-output-error" not in types_of(reading.seen)


async def test_what_the_log_tells_of_a_proposal_is_told_once(
    client: Client, attempts: Attempts, asking: Asking, groq_url: str, database_url: str
) -> None:
    async with waiting(client, attempts, groq_url) as (posted, reading):
        execute(database_url, "UPDATE generations SET status = 'queued'")
        await attempts.run(posted.generation_id)  # as after a worker that died before it let the answer wait
        await asking.decide("committed")
        (events,) = await go_on(attempts, posted, reading)
    assert [told["data"]["status"] for told in approvals(events)] == ["proposed", "committed"]


async def test_nobody_who_saves_steps_holds_a_generation_while_its_chat_is_locked(
    client: Client, worker: Worker, database_url: str
) -> None:
    posted = await post(client, "Hello")
    async with worker.attempts.database.connect() as db:
        claimed = await claim(db, posted.generation_id, timedelta(minutes=1))
    assert claimed is not None
    store = ReplyStore(worker.attempts.database, worker.attempts.metrics, posted.generation_id, claimed)
    with psycopg.connect(database_url) as other:
        other.execute("SELECT FROM chats FOR UPDATE")
        saving = asyncio.create_task(store.save_steps([], None, has_rows=True))
        await asyncio.to_thread(wait_for_waiters, other, 1)
        other.execute("SELECT FROM generations FOR UPDATE NOWAIT")
    await saving
    assert execute(database_url, "SELECT has_rows FROM chats") == [(True,)]


async def test_a_log_that_expired_meanwhile_is_made_again_for_whoever_reads(
    client: Client, attempts: Attempts, asking: Asking, groq_url: str, valkey: EmbeddedValkey
) -> None:
    async with waiting(client, attempts, groq_url) as (posted, reading):
        pass
    with Redis.from_url(valkey.url) as redis:
        assert redis.delete(log_key(posted.generation_id)) == 1
    last_id = reading.seen[-1].id
    async with client.read(posted.stream_url, last_id) as late, client.read(posted.stream_url) as new:
        readings = (Reading.of(late), Reading.of(new))
        await asyncio.gather(*(one.until_asked() for one in readings))
        await asking.decide("committed")
        read = await go_on(attempts, posted, *readings)
    assert late.transient_frames[0]["type"] == "data-reset"
    for events in read:
        assert text_of(events) == numbered(2) + "\n\n" + numbered(4)
        assert [told["data"]["status"] for told in approvals(events)] == ["proposed", "committed"]
        assert types_of(events)[-1] == "finish"


async def test_a_log_lives_as_long_as_somebody_reads_of_an_answer_that_waits(
    client: Client, attempts: Attempts, asking: Asking, groq_url: str, settings: Settings, valkey: EmbeddedValkey
) -> None:
    async with waiting(client, attempts, groq_url) as (posted, reading):
        following = asyncio.create_task(reading.to_the_end())
        with Redis.from_url(valkey.url) as redis:
            key = log_key(posted.generation_id)
            assert redis.pexpire(key, 20_000)
            reading.stream.commented.clear()
            await reading.stream.commented.wait()
            lives = redis.pttl(key)
        assert isinstance(lives, int)
        assert 20_000 < lives <= settings.stream_ttl_seconds * 1000
        await asking.decide("committed")
        await attempts.run(posted.generation_id)
        events = await following
    assert [told["data"]["status"] for told in approvals(events)] == ["proposed", "committed"]
    assert types_of(events)[-1] == "finish"


THINKING = "reasoning=2 after=4"


def lose_end(valkey: EmbeddedValkey, posted: Posted, keeps: int) -> None:
    """Let Redis lose a log but for its first frames, as a server does that dies."""
    with Redis.from_url(valkey.url) as redis:
        key = log_key(posted.generation_id)
        entries = [entry_id for entry_id, _ in redis.xrange(key)]
        assert len(entries) > keeps
        redis.xdel(key, *entries[keeps:])


def thoughts_of(events: list[Event]) -> str:
    """What was reasoned."""
    return "".join(event.part["delta"] for event in events if event.part["type"] == "reasoning-delta")


@pytest.mark.parametrize("keeps", [0, 1, 4, 8])
async def test_a_worker_that_finds_no_log_or_its_beginning_shows_all_of_the_answer(
    client: Client, attempts: Attempts, asking: Asking, groq_url: str, valkey: EmbeddedValkey, keeps: int
) -> None:
    async with waiting(client, attempts, groq_url, THINKING) as (posted, reading):
        thoughts = thoughts_of(reading.seen)
        assert thoughts
    lose_end(valkey, posted, keeps)
    await asking.decide("committed")
    await attempts.run(posted.generation_id)
    async with client.read(posted.stream_url) as stream:
        events = await stream.all()
    assert (text_of(events), thoughts_of(events)) == (numbered(2) + "\n\n" + numbered(4), thoughts)
    assert approvals(events)[-1]["data"]["status"] == "committed"
    _, reply = await client.messages(posted.chat_id)
    kinds = ["step-start", "reasoning", "text", "dynamic-tool", "data-approval", "step-start", "text"]
    assert [part["type"] for part in reply["parts"]] == kinds


@pytest.mark.parametrize("has", [None, 0, -1], ids=["nothing", "the first", "all"])
@pytest.mark.parametrize("keeps", [1, 4, 8])
async def test_a_log_that_lost_its_end_meanwhile_is_made_whole_for_whoever_reads(
    client: Client, attempts: Attempts, groq_url: str, valkey: EmbeddedValkey, keeps: int, has: int | None
) -> None:
    async with waiting(client, attempts, groq_url, THINKING) as (posted, reading):
        whole = list(reading.seen)
    lose_end(valkey, posted, keeps)
    async with client.read(posted.stream_url, None if has is None else whole[has].id) as stream:
        again = Reading.of(stream)
        await again.until_asked()
    assert (text_of(again.seen), thoughts_of(again.seen)) == (text_of(whole), thoughts_of(whole))
    stopped = await client.http.post(f"/api/chats/{posted.chat_id}/stop")
    assert len(stopped.raise_for_status().json()["stopped"]) == 1
    _, reply = await client.messages(posted.chat_id)
    kinds = ["step-start", "reasoning", "text", "dynamic-tool", "data-approval"]
    assert [part["type"] for part in reply["parts"]] == kinds


@pytest.mark.parametrize("is_lost", [False, True])
async def test_an_answer_that_is_stopped_while_it_waits_keeps_what_it_said(
    client: Client, attempts: Attempts, groq_url: str, valkey: EmbeddedValkey, is_lost: bool
) -> None:
    async with waiting(client, attempts, groq_url) as (posted, reading):
        if is_lost:
            with Redis.from_url(valkey.url) as redis:
                redis.delete(log_key(posted.generation_id))
        stopped = await client.http.post(f"/api/chats/{posted.chat_id}/stop")
        assert len(stopped.raise_for_status().json()["stopped"]) == 1
        if not is_lost:
            events = await reading.to_the_end()
            assert types_of(events)[-3:] == ["tool-output-error", "message-metadata", "abort"]
    _, reply = await client.messages(posted.chat_id)
    assert (reply["status"], reply["content"]) == ("cancelled", numbered(2))
    assert [part["type"] for part in reply["parts"]] == ["step-start", "text", "dynamic-tool", "data-approval"]
    async with client.read(posted.stream_url) as stream:
        late = await stream.all()
    assert (types_of(late)[-1], len(approvals(late)), text_of(late)) == ("abort", 1, numbered(2))


async def test_the_sweep_goes_on_with_what_nobody_can_decide_any_more(
    client: Client, attempts: Attempts, worker: Worker, groq_url: str, database_url: str, sent: list[GenerationId]
) -> None:
    async with waiting(client, attempts, groq_url) as (posted, reading):
        await worker.sweep()
        assert sent == []
        execute(database_url, "DELETE FROM operations")
        execute(database_url, AGE)
        await worker.sweep()
        assert sent == [posted.generation_id]
        (events,) = await go_on(attempts, posted, reading)
    assert approvals(events)[-1]["data"]["status"] == "failed"
    assert types_of(events)[-1] == "finish"


async def test_a_later_answer_is_told_of_no_wait(
    client: Client, attempts: Attempts, asking: Asking, groq_url: str
) -> None:
    async with waiting(client, attempts, groq_url) as (posted, _):
        pass
    await asking.decide("committed")
    await attempts.run(posted.generation_id)
    follow_up = await post(client, "[[tokens=3]]", posted.chat_id)
    await attempts.run(follow_up.generation_id)
    assert (await client.messages(posted.chat_id))[-1]["content"] == numbered(3)


async def test_a_message_that_interrupts_refuses_what_was_proposed(
    client: Client, attempts: Attempts, asking: Asking, groq_url: str, database_url: str
) -> None:
    async with waiting(client, attempts, groq_url) as (posted, reading):
        accepted = await client.post_async(posted.chat_id, "Never mind.", on_conflict="interrupt")
        assert accepted.status_code == 202
        events = await reading.to_the_end()
    assert types_of(events)[-1] == "abort"
    assert execute(database_url, "SELECT status, decided_by FROM operations") == [("refused", "stop")]


@pytest.mark.parametrize(
    "path", ["/api/chats/{chat}", "/api/chats/{chat}/messages/{message}", "/v1/conversations/conv_{chat}"]
)
async def test_what_was_proposed_before_its_chat_or_turn_was_deleted_can_not_be_approved(
    client: Client, attempts: Attempts, asking: Asking, groq_url: str, path: str
) -> None:
    async with waiting(client, attempts, groq_url) as (posted, _):
        message = (await client.messages(posted.chat_id))[0]["id"]
        (await client.http.delete(path.format(chat=posted.chat_id, message=message))).raise_for_status()
    (listed,) = (await client.http.get("/api/operations")).raise_for_status().json()
    assert (listed["status"], listed["decided_by"]) == ("refused", "stop")
    actions = [entry["action"] for entry in (await client.http.get("/api/audit")).raise_for_status().json()]
    assert actions == ["operation.refused"]
    (operation_id,) = asking.proposed
    database = asking.database
    async with database.connect() as db:
        user_id = UserId((await db.execute(select(Operation.user_id))).scalar_one())
    with pytest.raises(OperationNotPending):
        async with database.begin() as db:
            await approve(db, user_id, operation_id, "d", "token")


async def test_no_person_is_asked_about_a_search_that_can_not_be_made(
    client: Client, worker: Worker, groq_url: str, database_url: str
) -> None:
    mark = uuid4().hex
    await groq_control.script(groq_url, "tool=web_search", marker=mark, arguments={"wrong": mark})
    posted = await post(client, f"{mark} [[tokens=4]]")
    execute(database_url, "UPDATE chats SET has_rows = true")
    await worker.attempts.run(posted.generation_id)
    assert execute(database_url, "SELECT count(*) FROM operations") == [(0,)]
    assert (await client.messages(posted.chat_id))[-1]["content"] == numbered(4)


async def test_a_chat_with_rows_of_a_database_asks_before_it_searches_the_web(
    client: Client, worker: Worker, groq_url: str, tavily_url: str, database_url: str, asking: Asking
) -> None:
    query = uuid4().hex
    posted = await post(client, f"{query} [[tokens=4 tool=web_search query={query}]]")
    execute(database_url, "UPDATE chats SET has_rows = true")
    async with client.read(posted.stream_url) as stream:
        reading = Reading.of(stream)
        asked = asyncio.create_task(reading.until_asked())
        await worker.attempts.run(posted.generation_id)
        await asked
        assert await tavily_control.searches(tavily_url, containing=query, ended=0) == []
        async with asking.database.begin() as db:
            row = (await db.execute(select(Operation.id, Operation.user_id).where(Operation.kind == "tool_call"))).one()
            operation = await find_operation(db, UserId(row.user_id), OperationId(row.id))
            assert operation.preview["arguments"] == {"query": query}
            assert statuses(reading.seen) == ["generating"]
            moved = await approve(db, operation.user_id, operation.id, operation.digest, "token")
        assert moved.resumed is not None
        (events,) = await go_on(worker.attempts, posted, reading)
    assert statuses(events) == ["generating", "searching", "generating"]
    assert len(await tavily_control.searches(tavily_url, containing=query)) == 1
    assert [told["data"]["status"] for told in approvals(events)] == ["proposed", "committed"]
    assert "tool-output-available" in types_of(events)
