"""Commits of operations on chats, by a worker; and what the sweep does for operations."""

from typing import Any

from services.worker.runtime import Worker
from shared.chats.operations import preview_deletion
from shared.database.engine import open_database
from shared.ids import ChatId, UserId
from shared.operations.canonical import digest_of
from tests.support.clients import Client, refusal_of
from tests.support.operations import proposed
from tests.support.turns import Noted, execute

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
