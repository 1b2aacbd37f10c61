"""The moves of operations: one wins, whoever decides at the same time, and each is in the log."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from itertools import combinations_with_replacement
from typing import Any
from uuid import uuid4

import pytest

from shared.database.engine import Connection, Database, open_database
from shared.errors import (
    CortexAIError,
    EffectChanged,
    NotUndoable,
    OperationNotFound,
    OperationNotPending,
    PreviewMismatch,
    TooManyOperations,
)
from shared.ids import OperationId, UserId
from shared.operations.commits import (
    Ending,
    claim_commit,
    find_lost,
    finish_commit,
    forget_xid,
    note_xid,
    renew_commit,
)
from shared.operations.decisions import approve, expire, find_due, refuse
from shared.operations.moves import Moved
from shared.operations.proposals import Bounds, propose
from shared.operations.rows import list_operations, to_json
from shared.operations.telling import tell
from shared.streams.feed.in_memory import InMemoryFeeds
from shared.streams.feed.publisher import open_feed_publisher
from shared.telemetry.metrics import NullMetrics
from tests.support.operations import (
    BOUNDS,
    DIGEST,
    LEASE,
    actions,
    approved,
    claimed,
    found,
    new_user,
    proposal,
    proposed,
)
from tests.support.turns import Noted, execute

COMMITTED = Ending("committed")
Move = Callable[[Connection, UserId, OperationId], Awaitable[Moved | None]]


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = open_database(database_url, pool_size=10)
    yield opened
    await opened.dispose()


@pytest.fixture
def user(database_url: str) -> UserId:
    return new_user(database_url)


async def _approve(db: Connection, user: UserId, operation: OperationId) -> Moved:
    return await approve(db, user, operation, DIGEST, "session")


async def _refuse(db: Connection, user: UserId, operation: OperationId) -> Moved:
    return await refuse(db, user, operation, "session")


MOVES: dict[str, Move] = {"approved": _approve, "refused": _refuse, "expired": expire}


async def moved(database: Database, move: Move, user: UserId, operation: OperationId) -> bool:
    """Try a move. Returns whether this try has moved the operation."""
    try:
        async with database.begin() as db:
            made = await move(db, user, operation)
    except OperationNotPending:
        return False
    return made is not None and made.has_moved


@pytest.mark.parametrize("pair", list(combinations_with_replacement(MOVES, 2)), ids="-".join)
@pytest.mark.parametrize("is_due", [False, True])
async def test_of_several_moves_at_once_one_wins(
    database: Database, database_url: str, user: UserId, pair: tuple[str, str], *, is_due: bool
) -> None:
    operation = await proposed(database, user)
    if is_due:
        execute(database_url, "UPDATE operations SET expires_at = now()")
    possible = {name for name in pair if (name == "expired") == is_due}
    tries = [moved(database, MOVES[name], user, operation.id) for name in pair * 3]
    results = await asyncio.gather(*tries)
    assert sum(results) == len(possible and [1])
    status = (await found(database, user, operation.id)).status
    assert status in (possible or {"proposed"})
    assert actions(database_url, user) == ["operation.proposed", *(f"operation.{status}" for _ in range(sum(results)))]


async def test_who_decides_the_same_again_gets_the_present_state(database: Database, user: UserId) -> None:
    operation = await proposed(database, user)
    async with database.begin() as db:
        first = await approve(db, user, operation.id, DIGEST, "session")
    taken = await claim(database, operation.id)
    async with database.begin() as db:
        await finish_commit(db, taken, Ending("stale", error=EffectChanged()))
    async with database.begin() as db:
        again = await approve(db, user, operation.id, DIGEST, "access_token")
    assert (first.has_moved, first.operation.status, first.operation.decided_by) == (True, "approved", "session")
    assert (again.has_moved, again.operation.status, again.operation.decided_by) == (False, "stale", "session")
    other = await proposed(database, user)
    for has_moved in (True, False):
        async with database.begin() as db:
            assert (await refuse(db, user, other.id, "session")).has_moved == has_moved


async def claim(database: Database, operation: OperationId, lease: timedelta = LEASE) -> Any:  # noqa: ANN401
    """Take an approved operation; None where that is impossible."""
    async with database.connect() as db:
        return await claim_commit(db, operation, lease)


async def refused_with(database: Database, move: Move, user: UserId, operation: OperationId) -> type[CortexAIError]:
    """The error with which a move is refused."""
    with pytest.raises(CortexAIError) as raised:
        async with database.begin() as db:
            await move(db, user, operation)
    return type(raised.value)


async def test_a_different_decision_is_refused(database: Database, user: UserId) -> None:
    async def approve_another(db: Connection, user: UserId, operation: OperationId) -> Moved:
        return await approve(db, user, operation, "another", "session")

    operation = await proposed(database, user)
    assert await refused_with(database, approve_another, user, operation.id) is PreviewMismatch
    async with database.begin() as db:
        await _approve(db, user, operation.id)
    assert await refused_with(database, _refuse, user, operation.id) is OperationNotPending
    assert await refused_with(database, approve_another, user, operation.id) is OperationNotPending
    other = await proposed(database, user)
    async with database.begin() as db:
        await _refuse(db, user, other.id)
    assert await refused_with(database, _approve, user, other.id) is OperationNotPending


async def test_an_operation_of_another_user_is_not_there(database: Database, database_url: str, user: UserId) -> None:
    other = new_user(database_url, "other@example.com")
    operation = await proposed(database, user)
    for move in (_approve, _refuse):
        assert await refused_with(database, move, other, operation.id) is OperationNotFound
        assert await refused_with(database, move, user, OperationId(uuid4())) is OperationNotFound
    async with database.begin() as db:
        assert await expire(db, other, operation.id) is None
        assert await list_operations(db, other, limit=10) == []
    assert (await found(database, user, operation.id)).status == "proposed"


async def test_what_is_due_can_only_expire(database: Database, database_url: str, user: UserId) -> None:
    operation, kept = await proposed(database, user), await proposed(database, user)
    execute(database_url, "UPDATE operations SET expires_at = now() WHERE id = %s", operation.id)
    for move in (_approve, _refuse):
        assert await refused_with(database, move, user, operation.id) is OperationNotPending
    async with database.begin() as db:
        assert await find_due(db) == [(user, operation.id)]
        gone = await expire(db, user, operation.id)
        assert await expire(db, user, kept.id) is None
    assert gone is not None
    assert gone.operation.status == "expired"
    assert gone.operation.finished_at is not None


async def test_a_user_has_so_many_proposals_at_most(database: Database, database_url: str, user: UserId) -> None:
    bounds = Bounds(pending=2, expire_after=timedelta(hours=1))

    async def add() -> bool:
        try:
            async with database.begin() as db:
                await propose(db, user, proposal(), bounds)
        except TooManyOperations:
            return False
        return True

    assert sum(await asyncio.gather(*(add() for _ in range(6)))) == 2
    execute(
        database_url, "UPDATE operations SET expires_at = now() WHERE id = (SELECT min(id::text)::uuid FROM operations)"
    )
    assert [await add(), await add()] == [True, False]


async def test_a_tool_call_is_over_when_it_is_approved(database: Database, database_url: str, user: UserId) -> None:
    operation = await proposed(database, user, "tool_call")
    async with database.begin() as db:
        done = (await approve(db, user, operation.id, DIGEST, "session")).operation
    assert (done.status, done.is_undoable, done.finished_at is not None) == ("committed", False, True)
    assert actions(database_url, user) == ["operation.proposed", "operation.approved", "operation.committed"]
    assert await claim(database, operation.id) is None


async def test_of_several_workers_one_commits(database: Database, database_url: str, user: UserId) -> None:
    operation = await approved(database, user)
    taken = [one for one in await asyncio.gather(*(claim(database, operation.id) for _ in range(5))) if one]
    assert [one.attempt for one in taken] == [1]

    async def finish() -> bool:
        async with database.begin() as db:
            return await finish_commit(db, taken[0], COMMITTED) is not None

    assert sum(await asyncio.gather(*(finish() for _ in range(5)))) == 1
    assert actions(database_url, user) == ["operation.proposed", "operation.approved", "operation.committed"]


async def test_an_attempt_that_was_taken_over_can_do_nothing_more(
    database: Database, database_url: str, user: UserId
) -> None:
    first = await claimed(database, user)
    async with database.connect() as db:
        assert await note_xid(db, first, "77", {"counts": {}}, b"images")
        assert await find_lost(db, timedelta(0)) == []
    execute(database_url, "UPDATE operations SET lease_expires_at = now()")
    async with database.connect() as db:
        assert await find_lost(db, timedelta(hours=1)) == [first.operation.id]
    second = await claim(database, first.operation.id)
    assert (second.attempt, second.xid) == (2, "77")
    async with database.begin() as db:
        assert not await note_xid(db, first, "78", {}, None)
        assert not await forget_xid(db, first)
        assert not await renew_commit(db, first, LEASE)
        assert await finish_commit(db, first, COMMITTED) is None
        assert await renew_commit(db, second, LEASE)
        done = await finish_commit(db, second, COMMITTED)
    assert done is not None
    assert (done.operation.result, done.operation.has_images) == ({"counts": {}}, True)


@pytest.mark.parametrize("status", ["stale", "failed"])
async def test_a_commit_that_came_to_nothing_keeps_no_result(database: Database, user: UserId, status: Any) -> None:  # noqa: ANN401
    taken = await claimed(database, user)
    async with database.begin() as db:
        await note_xid(db, taken, "77", {"counts": {}}, b"images")
        done = await finish_commit(db, taken, Ending(status, error=EffectChanged()))
    assert done is not None
    assert (done.operation.status, done.operation.result, done.operation.has_images) == (status, None, False)
    assert to_json(done.operation)["error"] == {"code": "effect_changed", "message": EffectChanged.default_message()}


async def test_what_no_worker_has_taken_is_found_after_a_while(
    database: Database, database_url: str, user: UserId
) -> None:
    operation = await approved(database, user)
    async with database.connect() as db:
        assert await find_lost(db, timedelta(seconds=30)) == []
    execute(database_url, "UPDATE operations SET decided_at = decided_at - interval '1 minute'")
    async with database.connect() as db:
        assert await find_lost(db, timedelta(seconds=30)) == [operation.id]


async def committed(database: Database, user: UserId, **values: Any) -> Any:  # noqa: ANN401
    """An operation that is committed."""
    taken = await claimed(database, user, **values)
    async with database.begin() as db:
        done = await finish_commit(db, taken, COMMITTED)
    assert done is not None
    return done.operation


async def test_a_change_is_undone_once(database: Database, user: UserId) -> None:
    original = await committed(database, user)
    undo = await proposed(database, user, "restore_chats", undo_of=original.id)
    assert (await proposed(database, user, "restore_chats", undo_of=original.id)).id == undo.id
    async with database.begin() as db:
        await _refuse(db, user, undo.id)
    assert to_json(await found(database, user, original.id))["undone_by"] is None
    assert (await found(database, user, original.id)).is_undoable
    undo = await committed(database, user, kind="restore_chats", undo_of=original.id)
    after = await found(database, user, original.id)
    assert (after.undone_by, after.is_undoable) == (undo.id, False)
    assert undo.is_undoable
    with pytest.raises(NotUndoable):
        await proposed(database, user, "restore_chats", undo_of=original.id)
    other = await committed(database, user)
    await committed(database, user, kind="restore_chats", undo_of=other.id)
    assert (await proposed(database, user)).undone_by is None
    with pytest.raises(NotUndoable):
        await proposed(database, user, "restore_chats", undo_of=(await proposed(database, user)).id)
    call = await proposed(database, user, "tool_call")
    async with database.begin() as db:
        await _approve(db, user, call.id)
    with pytest.raises(NotUndoable):
        await proposed(database, user, "undo", undo_of=call.id)


async def test_what_another_user_has_can_not_be_named(database: Database, database_url: str, user: UserId) -> None:
    other = new_user(database_url, "other@example.com")
    execute(database_url, "INSERT INTO chats (user_id) VALUES (%s)", other)
    execute(database_url, "INSERT INTO chats (user_id) VALUES (%s)", user)
    ((chat,), (mine,)) = execute(database_url, "SELECT id FROM chats ORDER BY id")
    assert isinstance(chat, int)
    assert isinstance(mine, int)
    ((source,),) = execute(
        database_url,
        "INSERT INTO data_sources (user_id, name, kind, reader_url) VALUES (%s, 'x', 'postgresql', 'x') RETURNING id",
        other,
    )
    original = await committed(database, other)
    named: tuple[dict[str, Any], ...] = (
        {"chat_id": chat},
        {"chat_id": mine, "generation_id": uuid4(), "call_id": "1"},
        {"data_source_id": source},
        {"undo_of": original.id},
    )
    for values in named:
        with pytest.raises(CortexAIError) as raised:
            await proposed(database, user, **values)
        assert raised.value.code.endswith("_not_found")
    assert BOUNDS.pending > len(named)


async def test_operations_go_with_their_data_source(database: Database, database_url: str, user: UserId) -> None:
    ((source,),) = execute(
        database_url,
        "INSERT INTO data_sources (user_id, name, kind, reader_url) VALUES (%s, 'x', 'postgresql', 'x') RETURNING id",
        user,
    )
    taken = await claimed(database, user, kind="write", data_source_id=source)
    execute(database_url, "DELETE FROM data_sources")
    async with database.begin() as db:
        assert not await note_xid(db, taken, "77", {}, None)
        assert await finish_commit(db, taken, COMMITTED) is None


async def test_readers_are_told_of_moves_and_of_the_tables_that_changed(
    database: Database, database_url: str, user: UserId
) -> None:
    feeds, jobs = InMemoryFeeds(), Noted()
    ((source,),) = execute(
        database_url,
        "INSERT INTO data_sources (user_id, name, kind, reader_url) VALUES (%s, 'x', 'postgresql', 'x') RETURNING id",
        user,
    )
    taken = await claimed(database, user, kind="write", data_source_id=source)
    async with open_feed_publisher(feeds, NullMetrics()) as feed:
        begin = await feeds.begin(user)
        tell(jobs, feed, Moved(taken.operation, has_moved=True))
        tell(jobs, feed, Moved(taken.operation, has_moved=False))
        async with database.begin() as db:
            done = await finish_commit(db, taken, COMMITTED)
        assert done is not None
        tell(jobs, feed, done)
        assert await feed.flush(5)
    told = [json.loads(entry.frame.partition(b":")[2]) for entry in await feeds.replay(user, begin) or ()]
    assert jobs.operations == [taken.operation.id] * 2
    assert [(event["type"], event.get("status") or event.get("table")) for event in told] == [
        ("operation.changed", "approved"),
        ("operation.changed", "committed"),
        ("rows.changed", "public.orders"),
        ("rows.changed", "public.audit"),
    ]
    assert told[2]["data_source_id"] == source
