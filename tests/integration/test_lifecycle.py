"""The life of a generation on real PostgreSQL: every move is made once, by the one who may."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Executable, Row, func, insert, select, update

from shared.database.engine import Database, open_database
from shared.database.tables import Chat, Generation, Message, User
from shared.errors import ModelTimeout
from shared.generations import claim as claims
from shared.generations import finish as finishing
from shared.generations import recover
from shared.generations.cancel import OpenGeneration
from shared.generations.close_log import save_text
from shared.generations.finish import FinishedReply
from shared.generations.outcome import Outcome
from shared.generations.turn_order import mark_closed
from shared.ids import GenerationId, new_generation_id
from shared.states import MAX_LOSSES
from shared.token_usage import TokenUsage

LEASE = timedelta(seconds=60)
EXPIRED = timedelta(seconds=-1)
DONE, USAGE = Outcome.completed("stop"), TokenUsage(1, 2, 3)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """The test's database."""
    opened = open_database(database_url.replace("postgresql://", "postgresql+psycopg://"), pool_size=20)
    yield opened
    await opened.dispose()


async def run(database: Database, statement: Executable) -> list[Row[Any]]:
    """Run a statement in a transaction of its own. Returns its rows."""
    async with database.begin() as db:
        result = await db.execute(statement)
        return list(result.all()) if result.returns_rows else []


async def queue(database: Database, count: int = 1) -> list[GenerationId]:
    """Queue generations, each in a chat of its own. Returns their ids."""
    ids = [new_generation_id() for _ in range(count)]
    async with database.begin() as db:
        user = (
            await db.execute(insert(User).values(email=f"{ids[0]}@example.com", password_hash="x").returning(User.id))
        ).scalar_one()
        chats = list((await db.execute(insert(Chat).returning(Chat.id), [{"user_id": user}] * count)).scalars())
        said = [
            {"chat_id": chat, "role": role, "content": "", "position": position, "status": status}
            for chat in chats
            for role, position, status in (("user", 1, "completed"), ("assistant", 2, "pending"))
        ]
        await db.execute(insert(Message), said)
        messages: dict[tuple[int, str], int] = {
            (chat, role): message
            for chat, role, message in (await db.execute(select(Message.chat_id, Message.role, Message.id))).all()
        }
        rows = [
            {
                "id": generation,
                "user_id": user,
                "chat_id": chat,
                "user_message_id": messages[chat, "user"],
                "assistant_message_id": messages[chat, "assistant"],
                "status": "queued",
            }
            for generation, chat in zip(ids, chats, strict=True)
        ]
        await db.execute(insert(Generation), rows)
    return ids


async def claim(database: Database, generation: GenerationId, lease: timedelta = LEASE) -> int | None:
    """Claim a generation. Returns the attempt, None when it can't be had."""
    async with database.begin() as db:
        row = await claims.claim(db, generation, lease)
    return row.attempt if row else None


async def finish(
    database: Database,
    generation: GenerationId,
    attempt: int,
    outcome: Outcome = DONE,
    content: str = "",
    first_token_ago: timedelta | None = None,
) -> bool:
    """End a generation. Returns whether this attempt had it."""
    async with database.begin() as db:
        reply = FinishedReply(content)
        return await finishing.finish(db, generation, attempt, outcome, reply, first_token_ago=first_token_ago)


async def unclosed(database: Database, older_than: timedelta = timedelta(seconds=5)) -> list[recover.UnclosedLog]:
    """The generations whose log nobody has closed."""
    async with database.connect() as db:
        return await recover.find_unclosed(db, older_than)


async def row_of(database: Database, generation: GenerationId) -> Row[Any]:
    """The generation as it is."""
    columns = Generation.__table__.columns
    (row,) = await run(database, select(*columns).where(Generation.id == generation))
    return row


async def age(database: Database, generation: GenerationId, **columns: timedelta) -> None:
    """Make times of a generation lie so long ago."""
    values = {name: func.now() - ago for name, ago in columns.items()}
    await run(database, update(Generation).where(Generation.id == generation).values(values))


async def reply_of(database: Database, generation: GenerationId) -> Row[Any]:
    """Its reply."""
    statement = select(Message.content, Message.status, Message.usage).join(
        Generation, Generation.assistant_message_id == Message.id
    )
    (row,) = await run(database, statement.where(Generation.id == generation))
    return row


# Claiming


async def test_of_twenty_workers_that_claim_a_generation_one_gets_it(database: Database) -> None:
    (generation,) = await queue(database)
    attempts = await asyncio.gather(*(claim(database, generation) for _ in range(20)))
    assert Counter(attempts) == {None: 19, 1: 1}


async def test_a_claim_tells_all_that_a_worker_needs(database: Database) -> None:
    (generation,) = await queue(database)
    async with database.begin() as db:
        claimed = await claims.claim(db, generation, LEASE)
    row = await row_of(database, generation)
    assert claimed is not None
    assert (claimed.attempt, claimed.user_id, claimed.chat_id) == (1, row.user_id, row.chat_id)
    assert (claimed.user_message_id, claimed.assistant_message_id) == (row.user_message_id, row.assistant_message_id)
    assert (claimed.model, claimed.steps, claimed.content) == (row.model, None, "")
    assert (row.status, row.attempt) == ("running", 1)
    assert row.lease_expires_at - row.started_at == LEASE


async def test_a_generation_that_is_over_or_gone_can_not_be_claimed(database: Database) -> None:
    (generation,) = await queue(database)
    await claim(database, generation)
    await finish(database, generation, 1)
    assert await claim(database, generation) is None
    assert await claim(database, new_generation_id()) is None


async def test_each_claim_is_a_higher_attempt(database: Database) -> None:
    (generation,) = await queue(database)
    for attempt in (1, 2, 3):
        assert await claim(database, generation) == attempt
        await run(database, claims.release([(generation, attempt)]))


async def test_a_generation_keeps_the_time_of_its_first_start(database: Database) -> None:
    (generation,) = await queue(database)
    await claim(database, generation)
    first = (await row_of(database, generation)).started_at
    await run(database, claims.release([(generation, 1)]))
    await claim(database, generation)
    assert (await row_of(database, generation)).started_at == first


# Holding


async def test_renewing_prolongs_what_is_still_held_and_tells_which(database: Database) -> None:
    held, taken_over, over, queued = await queue(database, 4)
    for generation in (held, taken_over, over):
        await claim(database, generation, timedelta(seconds=1))
    await run(database, claims.release([(taken_over, 1)]))
    await claim(database, taken_over, timedelta(seconds=1))
    await finish(database, over, 1)
    before = (await row_of(database, taken_over)).lease_expires_at
    pairs = [(held, 1), (taken_over, 1), (over, 1), (queued, 0), (new_generation_id(), 1)]
    renewed = await run(database, claims.renew(pairs, LEASE))
    assert [row.id for row in renewed] == [held]
    row = await row_of(database, held)
    assert row.lease_expires_at - row.started_at > timedelta(seconds=50)
    assert (await row_of(database, taken_over)).lease_expires_at == before


async def test_renewing_nothing_changes_nothing(database: Database) -> None:
    await queue(database)
    assert await run(database, claims.renew([], LEASE)) == []


async def test_a_released_generation_can_be_claimed_at_once(database: Database) -> None:
    (generation,) = await queue(database)
    await claim(database, generation)
    assert [row.id for row in await run(database, claims.release([(generation, 1)]))] == [generation]
    assert await claim(database, generation) == 2


async def test_only_the_attempt_that_holds_a_generation_can_release_it(database: Database) -> None:
    (generation,) = await queue(database)
    await claim(database, generation)
    assert await run(database, claims.release([(generation, 2), (generation, 0)])) == []
    assert (await row_of(database, generation)).status == "running"


# Ending


@pytest.mark.parametrize("attempt", [0, 1, 3])
async def test_only_the_attempt_that_holds_a_generation_can_finish_it(database: Database, attempt: int) -> None:
    (generation,) = await queue(database)
    await claim(database, generation)
    await run(database, claims.release([(generation, 1)]))
    await claim(database, generation)
    assert not await finish(database, generation, attempt)
    assert (await row_of(database, generation)).status == "running"


async def test_a_generation_is_finished_once(database: Database) -> None:
    (generation,) = await queue(database)
    await claim(database, generation)
    finished = await asyncio.gather(
        *(
            finish(database, generation, 1, outcome, f"{outcome.status} {number}")
            for number, outcome in enumerate((DONE, Outcome.failed(ModelTimeout())) * 5)
        )
    )
    assert sum(finished) == 1
    winner = finished.index(True)
    row, reply = await row_of(database, generation), await reply_of(database, generation)
    assert (row.status, reply.content) == (reply.status, f"{reply.status} {winner}")


async def test_finishing_a_queued_generation_is_nobodys_right(database: Database) -> None:
    (generation,) = await queue(database)
    assert not await finish(database, generation, 0)


async def test_what_a_generation_took_is_noted_with_its_end(database: Database) -> None:
    (generation,) = await queue(database)
    await claim(database, generation)
    outcome, seconds = Outcome.completed("stop", USAGE), timedelta(seconds=2)
    assert await finish(database, generation, 1, outcome, first_token_ago=seconds)
    row = await row_of(database, generation)
    assert (row.status, row.finish_reason, row.usage, row.lease_expires_at) == (
        "completed",
        "stop",
        {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
        None,
    )
    assert row.finished_at - row.first_token_at == timedelta(seconds=2)
    assert row.finished_at >= row.started_at


async def test_a_generation_that_said_nothing_has_no_first_token(database: Database) -> None:
    (generation,) = await queue(database)
    await claim(database, generation)
    await finish(database, generation, 1, Outcome.failed(ModelTimeout("Too long.")))
    row = await row_of(database, generation)
    assert (row.first_token_at, row.error_code, row.error_message) == (None, "model_timeout", "Too long.")


@pytest.mark.parametrize("outcome", [Outcome.completed("stop", USAGE), Outcome.failed(ModelTimeout(), USAGE)])
async def test_the_reply_is_saved_with_the_end(database: Database, outcome: Outcome) -> None:
    (generation,) = await queue(database)
    await claim(database, generation)
    await finish(database, generation, 1, outcome, "Hello")
    assert tuple(await reply_of(database, generation)) == ("Hello", outcome.status.value, USAGE.to_row())


async def test_a_stale_attempt_saves_no_reply(database: Database) -> None:
    (generation,) = await queue(database)
    await claim(database, generation)
    await run(database, claims.release([(generation, 1)]))
    await claim(database, generation)
    await finish(database, generation, 1, DONE, "from a zombie")
    assert tuple(await reply_of(database, generation)) == ("", "pending", None)


async def test_what_is_not_known_is_null_and_not_a_json_null(database: Database) -> None:
    (generation,) = await queue(database)
    await claim(database, generation)
    await finish(database, generation, 1)
    for usage in (Generation.usage, Message.usage):
        assert await run(database, select(usage).where(func.jsonb_typeof(usage) == "null")) == []


async def test_what_the_worker_could_not_save_can_be_saved_later(database: Database) -> None:
    (generation,) = await queue(database)
    message = (await row_of(database, generation)).assistant_message_id
    await run(database, save_text(message, "Half an ans"))
    assert tuple(await reply_of(database, generation)) == ("Half an ans", "pending", None)


# Taking over


async def test_a_generation_whose_lease_has_expired_is_queued_again(database: Database) -> None:
    (generation,) = await queue(database)
    await claim(database, generation, EXPIRED)
    (lost,) = await run(database, recover.take_over_expired())
    row = await row_of(database, generation)
    of = (row.user_id, row.chat_id)
    assert tuple(lost) == (generation, "queued", 1, row.assistant_message_id, None, None, *of, False)
    assert (row.status, row.lease_expires_at, row.finished_at, row.error_code) == ("queued", None, None, None)
    assert await claim(database, generation) == 2


async def test_a_generation_that_is_held_waits_or_is_over_is_left_alone(database: Database) -> None:
    held, over, _queued = await queue(database, 3)
    await claim(database, held)
    await claim(database, over)
    await finish(database, over, 1)
    assert await run(database, recover.take_over_expired()) == []


async def test_a_worker_that_comes_back_too_late_can_neither_renew_nor_finish(database: Database) -> None:
    (generation,) = await queue(database)
    await claim(database, generation, EXPIRED)
    await run(database, recover.take_over_expired())
    assert await run(database, claims.renew([(generation, 1)], LEASE)) == []
    assert not await finish(database, generation, 1)
    await claim(database, generation)
    assert await run(database, claims.renew([(generation, 1)], LEASE)) == []
    assert not await finish(database, generation, 1)


async def test_a_worker_whose_lease_has_expired_unnoticed_may_go_on(database: Database) -> None:
    (generation,) = await queue(database)
    await claim(database, generation, EXPIRED)
    assert len(await run(database, claims.renew([(generation, 1)], LEASE))) == 1
    assert await run(database, recover.take_over_expired()) == []


async def test_a_generation_that_lost_too_many_workers_fails(database: Database) -> None:
    (generation,) = await queue(database)
    for attempt in range(1, MAX_LOSSES):
        assert await claim(database, generation, EXPIRED) == attempt
        assert [row.status for row in await run(database, recover.take_over_expired())] == ["queued"]
    await claim(database, generation, EXPIRED)
    (lost,) = await run(database, recover.take_over_expired())
    row = await row_of(database, generation)
    assert (lost.status, lost.attempt) == (
        "failed",
        MAX_LOSSES + 1,
    )  # above its last worker's, which is thereby refused
    assert (row.status, row.error_code, row.lease_expires_at) == ("failed", "worker_lost", None)
    assert row.error_message
    assert row.finished_at is not None
    await run(database, recover.fail_replies([lost.assistant_message_id]))
    assert (await reply_of(database, generation)).status == "failed"


async def test_attempts_that_were_given_back_do_not_count_as_lost(database: Database) -> None:
    (generation,) = await queue(database)
    for attempt in range(1, MAX_LOSSES + 2):
        assert await claim(database, generation) == attempt
        assert len(await run(database, claims.release([(generation, attempt)]))) == 1
    await claim(database, generation, EXPIRED)
    assert [row.status for row in await run(database, recover.take_over_expired())] == ["queued"]


async def test_eight_sweepers_at_once_take_every_lost_generation_once(database: Database) -> None:
    generations = await queue(database, 300)
    expired = func.now() - timedelta(seconds=1)
    await run(database, update(Generation).values(status="running", attempt=1, lease_expires_at=expired))

    async def sweep() -> list[UUID]:
        taken: list[UUID] = []
        while rows := await run(database, recover.take_over_expired(limit=7)):
            assert len(rows) <= 7
            taken += [row.id for row in rows]
        return taken

    swept = await asyncio.gather(*(sweep() for _ in range(8)))
    # A sweeper may leave early while others hold the last rows; none is taken twice, and the next sweep finds the rest.
    taken = [generation for one in [*swept, await sweep()] for generation in one]
    assert sorted(taken) == sorted(generations)


async def test_a_sweeper_does_not_wait_for_a_row_that_another_holds(database: Database) -> None:
    one, other = await queue(database, 2)
    for generation in (one, other):
        await claim(database, generation, EXPIRED)
    async with database.begin() as db:
        (first,) = (await db.execute(recover.take_over_expired(limit=1))).all()
        async with asyncio.timeout(5):
            (second,) = await run(database, recover.take_over_expired())
    assert {first.id, second.id} == {one, other}


async def test_what_no_worker_took_is_sent_again_but_not_at_once(database: Database) -> None:
    waiting, _fresh, held = await queue(database, 3)
    await claim(database, held)
    for generation in (waiting, held):
        await age(database, generation, queued_at=timedelta(seconds=60))
    again = recover.queued_again(timedelta(seconds=5))
    assert [row.id for row in await run(database, again)] == [waiting]
    assert await run(database, again) == []
    assert (await row_of(database, waiting)).status == "queued"


async def test_eight_sweepers_at_once_send_every_waiting_generation_once(database: Database) -> None:
    generations = await queue(database, 100)
    await run(database, update(Generation).values(queued_at=func.now() - timedelta(seconds=60)))
    again = recover.queued_again(timedelta(seconds=5), limit=10)
    sent = [await asyncio.gather(*(run(database, again) for _ in range(8))) for _ in range(3)]
    ids = [row.id for sweeps in sent for rows in sweeps for row in rows]
    assert sorted(ids) == sorted(generations)


# Closing


async def test_a_log_that_nobody_closed_is_found_after_a_while(database: Database) -> None:
    (generation,) = await queue(database)
    await claim(database, generation)
    row = await row_of(database, generation)
    await finish(database, generation, 1, Outcome.completed("length", USAGE), "Hello")
    assert await unclosed(database) == []  # its worker may be about to
    await age(database, generation, finished_at=timedelta(seconds=6))
    (found,) = await unclosed(database)
    ids = (row.assistant_message_id, "Hello", row.user_message_id, row.user_id, row.chat_id)
    assert found.generation == OpenGeneration(generation, 1, *ids)
    assert found.outcome == Outcome.completed("length", USAGE)
    async with database.begin() as db:
        await mark_closed(db, generation, 1, 7)
    assert await unclosed(database) == []


async def test_the_end_of_a_generation_of_an_older_release_is_read(database: Database) -> None:
    (generation,) = await queue(database)
    await claim(database, generation)
    await finish(database, generation, 1)
    older = {"promptTokens": 1, "completionTokens": 2, "totalTokens": 3}
    await run(database, update(Generation).values(usage=older))
    (found,) = await unclosed(database, timedelta(0))
    assert found.outcome.usage == USAGE


async def test_a_generation_that_failed_without_a_worker_is_closed_at_once(database: Database) -> None:
    (generation,) = await queue(database)
    await run(database, update(Generation).values(losses=MAX_LOSSES - 1))
    await claim(database, generation, EXPIRED)
    await run(database, recover.take_over_expired())
    (found,) = await unclosed(database)
    assert (found.generation.id, found.outcome.status, found.outcome.error_code) == (
        generation,
        "failed",
        "worker_lost",
    )


async def test_a_live_generation_has_nothing_to_close(database: Database) -> None:
    _queued, running = await queue(database, 2)
    await claim(database, running, EXPIRED)
    assert await unclosed(database, timedelta(0)) == []
