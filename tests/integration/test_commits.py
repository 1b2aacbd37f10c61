"""Commits of operations on chats, by a worker; and what the sweep does for operations."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from services.worker.operations.approvals import OperationApprovals
from services.worker.runtime import Worker
from services.worker.tools.port import ChatContext
from shared.canonical import digest_of
from shared.chats.operations import commit_deletion, preview_deletion
from shared.database.engine import Connection, Database, open_database
from shared.generations.approval import lock
from shared.ids import ChatId, DataSourceId, UserId
from shared.operations.audit import take_turn
from shared.operations.changes import NoChanges, ShownChange
from shared.operations.proposals import Proposal, propose
from shared.streams.feed.in_memory import InMemoryFeeds
from shared.streams.feed.publisher import FeedPublisher
from shared.telemetry.metrics import NullMetrics
from tests.support.clients import Client, refusal_of
from tests.support.operations import BOUNDS, proposal, proposed
from tests.support.turns import Noted, Posted, execute, post

NOW = {"Prefer": "respond-async"}


async def propose_deletion(client: Client, database_url: str, *chats: int) -> dict[str, Any]:
    """Propose to delete chats, as the tool does. Returns the operation."""
    user = UserId((await client.http.get("/api/auth/me")).json()["id"])
    database = open_database(database_url, pool_size=1)
    try:
        async with database.connect() as db:
            preview = await preview_deletion(db, user, [ChatId(chat) for chat in chats])
        operation = await proposed(database, user, preview=preview, digest=digest_of(preview))
    finally:
        await database.dispose()
    shown: dict[str, Any] = (await client.http.get(f"/api/operations/{operation.id}")).json()
    return shown


async def approve(client: Client, database_url: str, operation: dict[str, Any]) -> None:
    """Approve an operation, a minute ago. Nobody takes the job."""
    url = f"/api/operations/{operation['id']}/approve"
    (await client.http.post(url, json={"digest": operation["digest"]}, headers=NOW)).raise_for_status()
    execute(database_url, "UPDATE operations SET decided_at = decided_at - interval '1 minute'")


async def sweep(worker: Worker, noted: Noted) -> None:
    """Sweep, and do what the sweep has sent jobs for."""
    await worker.sweep()
    for operation_id in noted.operations:
        await worker.commits.commit(operation_id)
    noted.operations.clear()


async def shown(client: Client, operation: dict[str, Any]) -> dict[str, Any]:
    """An operation as it is now."""
    found: dict[str, Any] = (await client.http.get(f"/api/operations/{operation['id']}")).json()
    return found


async def test_chats_are_deleted_restored_and_deleted_again(
    client: Client, worker: Worker, noted: Noted, database_url: str
) -> None:
    chats = [await client.new_chat() for _ in range(3)]
    deletion = await propose_deletion(client, database_url, *chats[:2])
    await approve(client, database_url, deletion)
    await sweep(worker, noted)
    done = await shown(client, deletion)
    assert (done["status"], done["result"]) == ("committed", {"chat_ids": chats[:2]})
    assert [chat["id"] for chat in (await client.http.get("/api/chats")).json()] == chats[2:]

    undo = await client.http.post(f"/api/operations/{deletion['id']}/undo")
    again = await client.http.post(f"/api/operations/{deletion['id']}/undo")
    assert (undo.status_code, again.status_code) == (201, 200)
    restoration = undo.json()
    assert again.json()["id"] == restoration["id"]
    assert (restoration["kind"], restoration["undo_of"]) == ("restore_chats", deletion["id"])
    await approve(client, database_url, restoration)
    await sweep(worker, noted)
    assert (await shown(client, deletion))["undone_by"] == restoration["id"]
    assert len((await client.http.get("/api/chats")).json()) == 3
    assert refusal_of(await client.http.post(f"/api/operations/{deletion['id']}/undo")) == (422, "not_undoable")

    redo = (await client.http.post(f"/api/operations/{restoration['id']}/undo")).raise_for_status().json()
    assert redo["kind"] == "delete_chats"
    await approve(client, database_url, redo)
    await sweep(worker, noted)
    assert len((await client.http.get("/api/chats")).json()) == 1


async def test_a_chat_that_was_used_since_is_not_deleted(
    client: Client, worker: Worker, noted: Noted, database_url: str
) -> None:
    chat = await client.new_chat()
    deletion = await propose_deletion(client, database_url, chat)
    await approve(client, database_url, deletion)
    (await client.post_async(chat, "One moment!")).raise_for_status()
    await sweep(worker, noted)
    done = await shown(client, deletion)
    assert (done["status"], done["error"]["code"]) == ("stale", "effect_changed")
    assert [one["id"] for one in (await client.http.get("/api/chats")).json()] == [chat]


async def test_chats_come_back_all_or_none(client: Client, worker: Worker, noted: Noted, database_url: str) -> None:
    chats = [await client.new_chat() for _ in range(2)]
    deletion = await propose_deletion(client, database_url, *chats)
    await approve(client, database_url, deletion)
    await sweep(worker, noted)
    restoration = (await client.http.post(f"/api/operations/{deletion['id']}/undo")).raise_for_status().json()
    await approve(client, database_url, restoration)
    execute(database_url, "DELETE FROM chats WHERE id = %s", chats[0])
    await sweep(worker, noted)
    done = await shown(client, restoration)
    assert (done["status"], done["error"]["code"]) == ("stale", "effect_changed")
    assert (await client.http.get("/api/chats")).json() == []


async def test_two_answers_that_delete_each_others_chat_do_not_wait_for_each_other(
    client: Client, database_url: str
) -> None:
    posted = [await post(client, "Delete the other chat.") for _ in range(2)]
    user = UserId((await client.http.get("/api/auth/me")).json()["id"])
    database = open_database(database_url, pool_size=2)

    async def delete(db: Connection, chat: Posted, proposed_by: Posted) -> None:
        preview = await preview_deletion(db, user, [ChatId(chat.chat_id)])
        await commit_deletion(db, user, preview, proposed_by.generation_id)

    async def finish(db: Connection, proposed_by: Posted) -> None:
        await lock(db, proposed_by.generation_id)
        await take_turn(db, user)

    async def second() -> None:
        async with database.begin() as db:
            backend = (await db.execute(text("SELECT pg_backend_pid()"))).scalar_one()
            began.set_result(backend)
            await delete(db, posted[0], posted[1])
            await finish(db, posted[1])

    began = asyncio.get_running_loop().create_future()
    async with database.begin() as db:
        await delete(db, posted[1], posted[0])
        other = asyncio.create_task(second())
        waits = text("SELECT cardinality(pg_blocking_pids(:backend)) > 0").bindparams(backend=await began)
        while not (await db.execute(waits)).scalar_one():  # noqa: ASYNC110 - a lock offers no event
            await asyncio.sleep(0.01)
        await finish(db, posted[0])
    await other
    await database.dispose()
    assert (await client.http.get("/api/chats")).json() == []


class LateChanges(NoChanges):
    """Changes whose proposal is committed, but the answer to that is lost."""

    def __init__(self, database: Database, error: Exception) -> None:
        self.database, self.error = database, error
        self.proposal: Proposal | None = None
        self.user = UserId(0)

    async def preview_write(self, *_: object) -> ShownChange:
        """Propose, and fail."""
        if self.proposal is not None:
            async with self.database.begin() as db:
                await propose(db, self.user, self.proposal, BOUNDS)
        raise self.error


@pytest.mark.parametrize("error", [TimeoutError(), OperationalError("COMMIT", {}, Exception())])
async def test_a_proposal_whose_answer_was_lost_is_found(
    client: Client, noted: Noted, database_url: str, error: Exception
) -> None:
    posted = await post(client, "Change a row.")
    user = UserId((await client.http.get("/api/auth/me")).json()["id"])
    database = open_database(database_url, pool_size=2)
    ((source,),) = execute(
        database_url,
        "INSERT INTO data_sources (user_id, name, kind, reader_url) VALUES (%s, 'x', 'postgresql', 'x') RETURNING id",
        user,
    )
    assert isinstance(source, int)
    changes = LateChanges(database, error)
    feed = FeedPublisher(InMemoryFeeds(), NullMetrics())
    approvals = OperationApprovals(database, noted, feed, BOUNDS, changes)
    chat = ChatContext(user, ChatId(posted.chat_id), 0, posted.generation_id)
    with pytest.raises(type(error)):
        await approvals.propose_write(chat, "call_1", DataSourceId(source), "DELETE FROM x", "Delete.")
    changes.user = user
    changes.proposal = proposal(
        "write", chat_id=chat.chat_id, generation_id=chat.generation_id, call_id="call_1", data_source_id=source
    )
    with pytest.raises(type(error)):
        await approvals.propose_write(chat, "call_1", DataSourceId(source), "DELETE FROM x", "Delete.")
    found = await approvals.find_by_call(chat, "call_1")
    assert execute(database_url, "SELECT id::text FROM operations") == [(found,)]
    await database.dispose()


async def test_the_sweep_lets_proposals_expire(client: Client, worker: Worker, noted: Noted, database_url: str) -> None:
    operation = await propose_deletion(client, database_url, await client.new_chat())
    await sweep(worker, noted)
    assert (await shown(client, operation))["status"] == "proposed"
    execute(database_url, "UPDATE operations SET expires_at = now()")
    await sweep(worker, noted)
    assert (await shown(client, operation))["status"] == "expired"
    entries = (await client.http.get("/api/audit")).json()
    assert [entry["action"] for entry in entries] == ["operation.expired", "operation.proposed"]


async def test_a_job_that_comes_again_commits_nothing_again(
    client: Client, worker: Worker, noted: Noted, database_url: str
) -> None:
    deletion = await propose_deletion(client, database_url, await client.new_chat())
    await approve(client, database_url, deletion)
    await worker.sweep()
    for _ in range(2):
        await worker.commits.commit(noted.operations[0])
    entries = (await client.http.get("/api/audit")).json()
    assert [entry["action"] for entry in entries].count("operation.committed") == 1
