"""Changes of a data source by HTTP, from the proposal to the undo of the undo; and what the audit log tells of all that."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import psycopg
import pytest
from cryptography.fernet import Fernet

from services.launcher.embedded.postgres import EmbeddedPostgres
from services.launcher.embedded.valkey import EmbeddedValkey
from services.worker.runtime import Worker
from shared.settings import Settings
from tests.conftest import settings_for
from tests.integration.conftest import serve
from tests.support.clients import Client, logged_in, refusal_of
from tests.support.committing import ADD, TABLES
from tests.support.data_sources import Source, make_source
from tests.support.turns import Noted, open_worker_for, post, wait_for_waiters

NOW = {"Prefer": "respond-async"}


@pytest.fixture(scope="module")
def source(postgres: EmbeddedPostgres) -> Source:
    return make_source(postgres, TABLES)


@pytest.fixture(scope="module")
def settings(make_database: Callable[[], str], valkey: EmbeddedValkey) -> Settings:
    return settings_for(
        make_database(),
        valkey.url,
        "http://127.0.0.1:1",
        data_source_keys=Fernet.generate_key().decode(),
        data_source_hosts="127.0.0.1",
        operation_max_rows=2,
    )


@pytest.fixture(scope="module")
async def api(settings: Settings) -> AsyncIterator[str]:
    async with serve(settings) as url:
        yield url


@pytest.fixture
def noted() -> Noted:
    return Noted()


@pytest.fixture
async def worker(settings: Settings, noted: Noted) -> AsyncIterator[Worker]:
    async with open_worker_for(settings, noted) as opened:
        yield opened


@pytest.fixture
async def owner(api: str) -> AsyncIterator[Client]:
    async with logged_in(api) as client:
        yield client


@pytest.fixture
async def data_source(owner: Client, source: Source) -> int:
    body = {"name": "bank", "reader_url": source.reader_url, "writer_url": source.writer_url}
    return int((await owner.http.post("/api/data-sources", json=body)).raise_for_status().json()["id"])


def balances(source: Source) -> list[Any]:
    with source.owner() as connection:
        return [row[0] for row in connection.execute("SELECT balance FROM accounts ORDER BY id")]


async def propose(client: Client, data_source: int, sql: str, **body: str) -> dict[str, Any]:
    """Propose a statement."""
    url = f"/api/data-sources/{data_source}/operations"
    proposed: dict[str, Any] = (await client.http.post(url, json={"sql": sql, **body})).raise_for_status().json()
    return proposed


async def commit(client: Client, worker: Worker, operation: dict[str, Any]) -> dict[str, Any]:
    """Approve an operation, and have a worker commit it."""
    url = f"/api/operations/{operation['id']}"
    body = {"digest": operation["digest"]}
    approved = (await client.http.post(f"{url}/approve", json=body, headers=NOW)).raise_for_status().json()
    assert approved["status"] == "approved"
    await worker.commits.commit(approved["id"])
    done: dict[str, Any] = (await client.http.post(f"{url}/approve", json=body)).raise_for_status().json()
    return done


async def test_a_change_is_proposed_committed_undone_and_audited(
    owner: Client, worker: Worker, source: Source, data_source: int
) -> None:
    before = balances(source)
    proposal = await propose(owner, data_source, ADD, summary="One more.")
    assert (proposal["status"], proposal["kind"], proposal["summary"]) == ("proposed", "write", "One more.")
    assert proposal["preview"]["rows"][0]["after"] == {"id": 1, "balance": before[0] + 1}
    assert balances(source) == before
    done = await commit(owner, worker, proposal)
    assert (done["status"], done["is_undoable"]) == ("committed", True)
    assert balances(source) == [before[0] + 1, *before[1:]]
    undo = (await owner.http.post(f"/api/operations/{done['id']}/undo")).raise_for_status().json()
    assert undo["summary"] == "Undo: One more."
    assert (await commit(owner, worker, undo))["status"] == "committed"
    assert balances(source) == before
    query = {"sql": "SELECT count(*) FROM accounts"}
    (await owner.http.post(f"/api/data-sources/{data_source}/query", json=query)).raise_for_status()
    (await owner.http.delete(f"/api/data-sources/{data_source}")).raise_for_status()
    entries = (await owner.http.get("/api/audit")).json()
    assert [entry["action"] for entry in entries] == [
        "data_source.deleted",
        "query.run",
        "operation.committed",
        "operation.approved",
        "operation.proposed",
        "preview.run",
        "operation.committed",
        "operation.approved",
        "operation.proposed",
        "preview.run",
        "data_source.added",
    ]
    assert entries[1]["details"] == {
        "statement": query["sql"],
        "by": "access_token",
    }
    assert entries[5]["details"] == {"statement": None, "undo_of": done["id"], "by": "user"}
    assert entries[6]["details"]["counts"] == {"inserted": 0, "updated": 1, "deleted": 0}
    assert source.writer_url not in str(entries)


@pytest.mark.parametrize(
    ("sql", "refusal"),
    [
        ("DROP TABLE accounts", "statement_refused"),
        ("UPDATE accounts SET balance = 1; SELECT 1", "statement_refused"),
        ("UPDATE accounts SET balance = balance + 1", "change_too_large"),
        ("INSERT INTO accounts VALUES (1, 1)", "statement_failed"),
        ("", "validation_failed"),
        ("x" * 20_001, "validation_failed"),
    ],
)
async def test_what_can_not_be_done_is_not_proposed(
    owner: Client, source: Source, data_source: int, sql: str, refusal: str
) -> None:
    before = balances(source)
    answer = await owner.http.post(f"/api/data-sources/{data_source}/operations", json={"sql": sql})
    assert refusal_of(answer) == (422, refusal)
    assert (await owner.http.get("/api/operations")).json() == []
    assert balances(source) == before
    entry = (await owner.http.get("/api/audit?limit=1")).json()[0]
    if refusal == "validation_failed":
        assert entry["action"] == "data_source.added"
    else:
        assert (entry["action"], entry["subject"]) == ("preview.run", f"data_source:{data_source}")
        assert entry["details"] == {"statement": sql, "undo_of": None, "by": "user"}


async def test_a_change_of_another_users_data_source_can_not_be_proposed(api: str, data_source: int) -> None:
    async with logged_in(api) as other:
        answer = await other.http.post(f"/api/data-sources/{data_source}/operations", json={"sql": ADD})
        assert refusal_of(answer) == (404, "data_source_not_found")


async def test_without_a_writer_nothing_can_be_proposed(owner: Client, source: Source) -> None:
    body = {"name": "for reading", "reader_url": source.reader_url}
    reading = (await owner.http.post("/api/data-sources", json=body)).raise_for_status().json()["id"]
    answer = await owner.http.post(f"/api/data-sources/{reading}/operations", json={"sql": ADD})
    assert answer.status_code == 422
    assert answer.json()["code"] == "data_source_not_writable"


async def test_the_address_stays_while_a_change_is_being_committed(
    api: str, owner: Client, worker: Worker, source: Source, data_source: int
) -> None:
    operation = await propose(owner, data_source, ADD)
    url, body = f"/api/operations/{operation['id']}/approve", {"digest": operation["digest"]}
    (await owner.http.post(url, json=body, headers=NOW)).raise_for_status()
    moved = {"writer_url": source.writer_url}
    change = await owner.http.patch(f"/api/data-sources/{data_source}", json=moved)
    assert refusal_of(change) == (409, "data_source_in_use")
    gone = await owner.http.delete(f"/api/data-sources/{data_source}")
    assert refusal_of(gone) == (409, "data_source_in_use")
    async with logged_in(api) as other:
        foreign = await other.http.delete(f"/api/data-sources/{data_source}")
        assert refusal_of(foreign) == (404, "data_source_not_found")
    (await owner.http.patch(f"/api/data-sources/{data_source}", json={"name": "another"})).raise_for_status()
    await worker.commits.commit(operation["id"])
    (await owner.http.patch(f"/api/data-sources/{data_source}", json=moved)).raise_for_status()


async def test_what_an_answer_proposes_while_its_data_source_is_deleted_is_refused(
    owner: Client, settings: Settings, data_source: int
) -> None:
    posted = await post(owner, "Hello")
    operation = await propose(owner, data_source, ADD)
    url = settings.database_url.replace("+psycopg", "")
    with psycopg.connect(url) as busy, psycopg.connect(url, autocommit=True) as db:
        busy.execute(
            "SELECT FROM users WHERE id = (SELECT user_id FROM data_sources WHERE id = %s) FOR UPDATE", [data_source]
        )
        deleting = asyncio.create_task(owner.http.delete(f"/api/data-sources/{data_source}"))
        await asyncio.to_thread(wait_for_waiters, db, 1)  # it has locked the answers that it knew of: none
        as_answer = "UPDATE operations SET generation_id = %s, call_id = 'c' WHERE id = %s"
        db.execute(as_answer, [posted.generation_id, operation["id"]])
        busy.commit()
        assert (await deleting).status_code == 204
    entries = (await owner.http.get("/api/audit")).json()
    assert [entry["action"] for entry in entries[:2]] == ["data_source.deleted", "operation.refused"]
    assert entries[1]["subject"] == f"operation:{operation['id']}"


async def test_what_its_preview_calls_final_is_so_after_the_commit(
    owner: Client, worker: Worker, source: Source, data_source: int
) -> None:
    with source.owner() as connection:
        connection.execute("CREATE TABLE heirs (id int PRIMARY KEY, account int REFERENCES accounts ON DELETE CASCADE)")
        connection.execute("INSERT INTO accounts VALUES (77, 7)")
        connection.execute("INSERT INTO heirs VALUES (1, 77)")
    proposal = await propose(owner, data_source, "DELETE FROM accounts WHERE id = 77")
    assert (proposal["is_undoable"], proposal["preview"]["is_undoable"]) == (False, False)
    done = await commit(owner, worker, proposal)
    (listed, *_) = (await owner.http.get("/api/operations")).json()
    assert [(one["status"], one["is_undoable"]) for one in (done, listed)] == [("committed", False)] * 2
    undo = await owner.http.post(f"/api/operations/{done['id']}/undo")
    assert refusal_of(undo) == (422, "not_undoable")


async def test_a_change_is_never_done_or_undone_in_another_database(
    owner: Client, worker: Worker, source: Source, data_source: int
) -> None:
    path = f"/api/data-sources/{data_source}"
    here, elsewhere = {"writer_url": source.writer_url}, {"writer_url": f"{source.writer_url.split('?')[0]}_other"}
    done = await commit(owner, worker, await propose(owner, data_source, ADD))
    assert done["is_undoable"]
    waiting = await propose(owner, data_source, ADD)
    assert refusal_of(await owner.http.patch(path, json=elsewhere)) == (409, "data_source_in_use")
    (await owner.http.patch(path, json=here)).raise_for_status()  # the same place, perhaps with another password
    (await owner.http.post(f"/api/operations/{waiting['id']}/refuse")).raise_for_status()
    assert (await owner.http.get(f"/api/operations/{done['id']}")).json()["is_undoable"]
    (await owner.http.patch(path, json=elsewhere)).raise_for_status()
    here_again = {"writer_url": None}, here
    for change in here_again:
        (await owner.http.patch(path, json=change)).raise_for_status()
    undo = await owner.http.post(f"/api/operations/{done['id']}/undo")
    assert refusal_of(undo) == (422, "not_undoable")
