"""The routes of operations and of the audit log, on operations that need no data source."""

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import httpx
import pytest

from shared.database.engine import Database, open_database
from shared.ids import UserId
from tests.support.clients import Client, logged_in, refusal_of
from tests.support.operations import DIGEST, PREVIEW, approved, claimed, found, proposed
from tests.support.turns import execute

NOW = {"Prefer": "respond-async"}


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = open_database(database_url, pool_size=5)
    yield opened
    await opened.dispose()


@pytest.fixture
async def owner(api: str) -> AsyncIterator[Client]:
    """A user of the test's own."""
    async with logged_in(api) as client:
        yield client


@pytest.fixture
async def user_id(owner: Client) -> UserId:
    return UserId((await owner.http.get("/api/auth/me")).json()["id"])


async def test_an_operation_is_shown_with_its_preview(owner: Client, database: Database, user_id: UserId) -> None:
    operation = await proposed(database, user_id)
    shown = (await owner.http.get(f"/api/operations/{operation.id}")).raise_for_status().json()
    times = [shown.pop(name) for name in ("created_at", "expires_at")]
    assert all(time.endswith("Z") for time in times)
    assert shown == {
        "id": str(operation.id),
        "kind": "delete_chats",
        "status": "proposed",
        "data_source_id": None,
        "chat_id": None,
        "generation_id": None,
        "call_id": None,
        "summary": "Send the order.",
        "statement": None,
        "preview": PREVIEW,
        "digest": DIGEST,
        "undo_of": None,
        "undone_by": None,
        "is_undoable": True,
        "result": None,
        "error": None,
        "decided_at": None,
        "decided_by": None,
        "finished_at": None,
    }
    listed = (await owner.http.get("/api/operations")).json()
    times_too = shown | dict(zip(("created_at", "expires_at"), times, strict=True))
    assert listed == [{name: value for name, value in times_too.items() if name not in {"preview", "result"}}]


async def test_the_list_has_pages_and_filters(owner: Client, database: Database, user_id: UserId) -> None:
    ids = [str((await proposed(database, user_id)).id) for _ in range(5)]
    refused = await owner.http.post(f"/api/operations/{ids[2]}/refuse")
    assert refused.json()["status"] == "refused"
    seen: list[str] = []
    url = "/api/operations?limit=2"
    while url:
        page = (await owner.http.get(url)).raise_for_status()
        seen += [one["id"] for one in page.json()]
        url = page.links.get("next", {}).get("url", "")
    assert seen == ids[::-1]
    waiting = await owner.http.get("/api/operations", params={"status": "proposed"})
    assert [one["id"] for one in waiting.json()] == [ids[n] for n in (4, 3, 1, 0)]
    assert (await owner.http.get("/api/operations", params={"chat_id": 1})).json() == []


@pytest.mark.parametrize("path", ["/api/operations", "/api/audit"])
@pytest.mark.parametrize("cursor", ["x", "é", "MQ", "-1", "0", "01", "9" * 30])
async def test_a_cursor_of_nobodys_is_refused(owner: Client, path: str, cursor: str) -> None:
    assert refusal_of(await owner.http.get(path, params={"cursor": cursor})) == (422, "cursor_invalid")


async def test_an_approval_tells_the_effect_once_it_is_there(
    owner: Client, database: Database, database_url: str, user_id: UserId
) -> None:
    operation = await proposed(database, user_id)
    url = f"/api/operations/{operation.id}/approve"
    early = await owner.http.post(url, json={"digest": DIGEST}, headers=NOW)
    assert (early.status_code, early.json()["status"]) == (202, "approved")
    waiting = asyncio.create_task(owner.http.post(url, json={"digest": DIGEST}))
    execute(
        database_url,
        "UPDATE operations SET status = 'stale', error_code = 'effect_changed', error_message = 'x', finished_at = now()"
        " WHERE id = %s",
        operation.id,
    )
    answer = await waiting
    assert (answer.status_code, answer.json()["status"]) == (200, "stale")
    assert answer.json()["error"] == {"code": "effect_changed", "message": "x"}


async def test_an_approval_waits_no_longer_than_its_client_prefers(
    owner: Client, database: Database, user_id: UserId
) -> None:
    operation = await approved(database, user_id)
    url = f"/api/operations/{operation.id}/approve"
    answer = await owner.http.post(url, json={"digest": DIGEST}, headers={"Prefer": "wait=1"})
    assert (answer.status_code, answer.json()["status"]) == (202, "approved")
    assert answer.elapsed.total_seconds() < 5


async def test_decisions_that_contradict_are_refused(owner: Client, database: Database, user_id: UserId) -> None:
    operation = await proposed(database, user_id)
    url = f"/api/operations/{operation.id}"
    wrong = await owner.http.post(f"{url}/approve", json={"digest": "0" * 64})
    assert refusal_of(wrong) == (409, "preview_mismatch")
    assert wrong.json()["field"] == "digest"
    (await owner.http.post(f"{url}/approve", json={"digest": DIGEST}, headers=NOW)).raise_for_status()
    assert refusal_of(await owner.http.post(f"{url}/refuse")) == (409, "operation_not_pending")
    assert refusal_of(await owner.http.post(f"{url}/undo")) == (422, "not_undoable")


@pytest.mark.parametrize("body", [{}, {"digest": 1}, {"digest": ""}, {"digest": "\0"}, {"digest": "x", "more": 1}, []])
async def test_a_bad_approval_changes_nothing(owner: Client, database: Database, user_id: UserId, body: object) -> None:
    operation = await proposed(database, user_id)
    answer = await owner.http.post(f"/api/operations/{operation.id}/approve", json=body)
    assert refusal_of(answer) == (422, "validation_failed")
    assert (await found(database, user_id, operation.id)).status == "proposed"


async def test_of_six_approvals_at_once_one_is_in_the_log(owner: Client, database: Database, user_id: UserId) -> None:
    operation = await proposed(database, user_id)
    url = f"/api/operations/{operation.id}/approve"
    answers = await asyncio.gather(*(owner.http.post(url, json={"digest": DIGEST}, headers=NOW) for _ in range(6)))
    assert {answer.status_code for answer in answers} == {202}
    entries = (await owner.http.get("/api/audit")).json()
    assert [entry["action"] for entry in entries] == ["operation.approved", "operation.proposed"]
    assert entries[0]["details"] == {"by": "access_token", "digest": DIGEST}


async def test_another_user_sees_nothing(owner: Client, user: Client, database: Database, user_id: UserId) -> None:
    operation = await proposed(database, user_id)
    requests: tuple[tuple[str, str, object], ...] = (
        ("GET", "", None),
        ("POST", "/approve", {"digest": DIGEST}),
        ("POST", "/refuse", None),
        ("POST", "/undo", None),
    )
    for client, operation_id in ((user, operation.id), (owner, uuid4())):
        for method, path, body in requests:
            answer = await client.http.request(method, f"/api/operations/{operation_id}{path}", json=body)
            assert refusal_of(answer) == (404, "operation_not_found")
    assert (await user.http.get("/api/operations")).json() == []
    assert (await user.http.get("/api/audit")).json() == []
    assert (await found(database, user_id, operation.id)).status == "proposed"


async def test_nobody_without_a_credential_is_let_in(http: httpx.AsyncClient) -> None:
    for method, path in (
        ("GET", "/api/operations"),
        ("GET", "/api/audit"),
        ("POST", f"/api/operations/{uuid4()}/undo"),
    ):
        assert refusal_of(await http.request(method, path)) == (401, "unauthenticated")


async def test_a_change_of_a_foreign_or_absent_data_source_can_not_be_proposed(owner: Client) -> None:
    answer = await owner.http.post("/api/data-sources/1/operations", json={"sql": "DELETE FROM t"})
    assert refusal_of(answer) == (404, "data_source_not_found")


async def test_the_audit_log_has_pages(owner: Client, database: Database, user_id: UserId) -> None:
    for _ in range(3):
        await proposed(database, user_id)
    seen: list[int] = []
    url = "/api/audit?limit=2"
    while url:
        page = (await owner.http.get(url)).raise_for_status()
        seen += [entry["number"] for entry in page.json()]
        url = page.links.get("next", {}).get("url", "")
    assert seen == [3, 2, 1]
    entry = (await owner.http.get("/api/audit")).json()[0]
    assert entry["subject"].startswith("operation:")
    assert entry["details"]["by"] == "user"
    assert len(entry["hash"]) == 64


async def test_what_is_being_committed_can_be_looked_at(owner: Client, database: Database, user_id: UserId) -> None:
    taken = await claimed(database, user_id)
    shown = (await owner.http.get(f"/api/operations/{taken.operation.id}")).json()
    assert (shown["status"], shown["result"]) == ("approved", None)
