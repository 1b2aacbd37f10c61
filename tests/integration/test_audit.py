"""The audit log: entries are only added, in a chain that shows what was changed behind its back."""

import asyncio
from collections.abc import AsyncIterator

import psycopg
import pytest

from services.launcher.cli import run
from shared.database.engine import Database, open_database
from shared.errors import TokenInvalid
from shared.ids import UserId
from shared.operations.audit import Chain, Event, append, list_entries, verify
from tests.support.clients import Client
from tests.support.operations import new_user, proposed
from tests.support.turns import execute

SWAP = (
    "UPDATE audit_log SET number = 9 WHERE number = 2; UPDATE audit_log SET number = 2 WHERE number = 3; "
    "UPDATE audit_log SET number = 3 WHERE number = 9"
)
COPY = (
    "INSERT INTO audit_log (user_id, number, at, action, subject, details, hash)"
    " SELECT user_id, {}, at, action, subject, details, hash FROM audit_log WHERE number = 4"
)
UNGUARDED = "SET session_replication_role = replica; "
"""What a superuser has to do before the rows can be changed."""


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = open_database(database_url, pool_size=10)
    yield opened
    await opened.dispose()


@pytest.fixture
def user(database_url: str) -> UserId:
    return new_user(database_url)


async def add(database: Database, user: UserId, *names: str) -> None:
    """Add an entry about each of these statements."""
    for name in names:
        async with database.begin() as db:
            await append(
                db, user, Event("query.run", "data_source:1", {"statement": name, "rows": 3, "é": [None, True]})
            )


async def check(database: Database, user: UserId) -> Chain:
    async with database.connect() as db:
        return await verify(db, user)


async def test_a_chain_grows_entry_by_entry(database: Database, user: UserId) -> None:
    heads = [(await check(database, user)).head]
    for name in "abc":
        await add(database, user, name)
        chain = await check(database, user)
        assert chain.wrong is None
        heads.append(chain.head)
    assert len(set(heads)) == 4
    async with database.connect() as db:
        entries = await list_entries(db, user, before=None, limit=2)
        rest = await list_entries(db, user, before=entries[-1].number, limit=2)
    assert [(one.number, one.details["statement"]) for one in entries + rest] == [(3, "c"), (2, "b"), (1, "a")]


async def test_numbers_have_no_gap_whoever_adds_at_the_same_time(
    database: Database, database_url: str, user: UserId
) -> None:
    other = new_user(database_url, "other@example.com")
    await asyncio.gather(*(add(database, one, f"{number}") for number in range(15) for one in (user, other)))
    for one in (user, other):
        assert (await check(database, one))[1::2] == (15, None)


async def test_an_entry_that_was_rolled_back_leaves_no_gap(database: Database, user: UserId) -> None:
    await add(database, user, "a")
    async with database.begin() as db:
        await append(db, user, Event("query.run", "data_source:1", {}))
        await db.rollback()
    await add(database, user, "b")
    assert (await check(database, user))[1::2] == (2, None)


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ("UPDATE audit_log SET details = jsonb_set(details, '{rows}', '4') WHERE number = 2", 2),
        ("UPDATE audit_log SET action = 'operation.refused' WHERE number = 2", 2),
        ("UPDATE audit_log SET subject = 'data_source:2' WHERE number = 2", 2),
        ("UPDATE audit_log SET at = at + interval '1 microsecond' WHERE number = 2", 2),
        ("UPDATE audit_log SET hash = sha256(hash) WHERE number = 2", 2),
        ("DELETE FROM audit_log WHERE number = 2", 2),
        ("DELETE FROM audit_log WHERE number = 1", 1),
        (SWAP, 2),
        (COPY.format(5), 5),
        (COPY.format(0), 1),
    ],
)
async def test_a_change_behind_its_back_is_found(
    database: Database, database_url: str, user: UserId, change: str, wrong: int
) -> None:
    await add(database, user, *"abcd")
    with psycopg.connect(database_url) as connection:
        for statement in (UNGUARDED + change).split(";"):
            connection.execute(statement.encode())
    assert (await check(database, user)).wrong == wrong


async def test_a_missing_end_is_found_by_who_has_kept_the_head(
    database: Database, database_url: str, user: UserId
) -> None:
    await add(database, user, *"abcd")
    kept = (await check(database, user)).head
    with psycopg.connect(database_url) as connection:
        connection.execute(UNGUARDED.rstrip("; ").encode())
        connection.execute("DELETE FROM audit_log WHERE number = 4")
    chain = await check(database, user)
    assert chain.wrong is None
    assert chain.head != kept


@pytest.mark.parametrize("page", [1, 2, 5, 6])
async def test_a_long_chain_is_checked_page_by_page(database: Database, user: UserId, page: int) -> None:
    await add(database, user, *"abcde")
    async with database.connect() as db:
        assert (await verify(db, user, page=page))[1::2] == (5, None)


@pytest.mark.parametrize("change", ["UPDATE audit_log SET action = 'x'", "DELETE FROM audit_log", "TRUNCATE audit_log"])
async def test_entries_can_not_be_changed(database: Database, database_url: str, user: UserId, change: str) -> None:
    await add(database, user, "a")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        execute(database_url, change)


async def test_the_log_goes_with_its_account(client: Client, database: Database, database_url: str) -> None:
    kept = new_user(database_url)
    ((user_id,),) = execute(database_url, "SELECT id FROM users WHERE id <> %s", kept)
    assert isinstance(user_id, int)
    user = UserId(user_id)
    await add(database, kept, "kept")
    await proposed(database, user)
    assert execute(database_url, "SELECT count(*) FROM audit_log WHERE user_id = %s", user) == [(1,)]
    (await client.http.delete("/api/auth/me")).raise_for_status()
    assert execute(database_url, "SELECT user_id FROM audit_log") == [(kept,)]
    assert execute(database_url, "SELECT count(*) FROM operations") == [(0,)]
    with pytest.raises(TokenInvalid):
        await add(database, user, "late")


async def test_the_command_names_the_wrong_entry_and_prints_the_heads(
    database: Database,
    database_url: str,
    user: UserId,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    other = new_user(database_url, "other@example.com")
    await add(database, user, *"ab")
    await add(database, other, "a")
    heads = [(await check(database, one)).head.hex() for one in (user, other)]
    assert await asyncio.to_thread(run, ["audit", "verify"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"user {user}: 2 entries, head {heads[0]}",
        f"user {other}: 1 entries, head {heads[1]}",
        "2 chains, all good",
    ]
    with psycopg.connect(database_url) as connection:
        connection.execute(UNGUARDED.rstrip("; ").encode())
        connection.execute("UPDATE audit_log SET subject = 'x' WHERE number = 2")
    assert await asyncio.to_thread(run, ["audit", "verify"]) == 1
    assert capsys.readouterr().out.splitlines()[0].startswith(f"user {user}: entry 2 ")


async def test_the_command_says_when_it_can_not_read_the_log(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody:secret@127.0.0.1:1/none")
    assert await asyncio.to_thread(run, ["audit", "verify"]) == 1
    told = capsys.readouterr().err
    assert told.startswith("cortexai: DATABASE_URL: the audit log can't be read")
    assert "secret" not in told
