"""Sandboxes: a schema with sample tables for each, which nobody else sees, in a database of their own."""

import asyncio

import psycopg
import pytest

from services.launcher.embedded.postgres import EmbeddedPostgres
from shared.data_sources.connect import connect_reader, connect_writer
from shared.data_sources.limits import Limits
from shared.data_sources.querying import run_query
from shared.data_sources.sandbox.sandbox import (
    Sandbox,
    drop,
    find_sandboxes,
    make,
    new_sandbox,
    read_sandbox,
    sandbox_address,
)
from shared.data_sources.sandbox.server import close_to_sandboxes, prepare
from shared.data_sources.statements.checked import Query
from shared.errors import DataSourceUnreachable, StatementFailed

LIMITS = Limits()
DEPLOYMENT = "0123456789abcdef"
OTHER_DEPLOYMENT = "fedcba9876543210"


@pytest.fixture(scope="module")
async def url(postgres: EmbeddedPostgres) -> str:
    found = postgres.url_of("sandbox_test")
    await prepare(found)
    return found


async def ask(url: str, sandbox: Sandbox, text: str) -> list[tuple[object, ...]]:
    async with connect_reader(await sandbox_address(sandbox.reader_url, url), LIMITS) as connection:
        return list((await run_query(connection, Query(text, ()), LIMITS)).rows)


@pytest.fixture(scope="module")
async def sandbox(url: str) -> Sandbox:
    made = new_sandbox(DEPLOYMENT, 1)
    await make(url, made, LIMITS)
    return made


async def test_it_has_a_shop_whose_rows_fit_together(url: str, sandbox: Sandbox) -> None:
    (counts,) = await ask(
        url,
        sandbox,
        "SELECT (SELECT count(*) FROM customers), (SELECT count(*) FROM products), (SELECT count(*) FROM orders),"
        " (SELECT count(*) FROM order_items), (SELECT count(*) FROM order_items WHERE total = quantity * unit_price)",
    )
    assert counts == (60, 40, 200, 500, 500)
    other = new_sandbox(DEPLOYMENT, 2)
    await make(url, other, LIMITS)
    content = "SELECT md5(string_agg(o::text, ',' ORDER BY id)) FROM orders AS o"
    assert await ask(url, sandbox, content) == await ask(url, other, content)
    await drop(url, other.name)


async def test_a_writer_changes_rows_and_the_trigger_notes_it(url: str, sandbox: Sandbox) -> None:
    async with (
        connect_writer(await sandbox_address(sandbox.writer_url, url), LIMITS) as connection,
        connection.transaction(force_rollback=True),
    ):
        changed = await connection.execute(
            "UPDATE orders SET status = 'paid' WHERE id = 1 RETURNING updated_at = now()"
        )
        assert await changed.fetchall() == [(True,)]
        await connection.execute("INSERT INTO customers (name, email, city) VALUES ('Zoe', 'zoe@example.com', 'Rome')")
        assert (await connection.execute("DELETE FROM orders WHERE id = 2")).rowcount == 1


@pytest.mark.parametrize("role", ["reader", "writer"])
@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM {other}.customers",
        "SELECT has_schema_privilege('{other}', 'USAGE')",
        "CREATE TABLE mine (i int)",
        "CREATE TABLE public.mine (i int)",
        "CREATE TEMP TABLE mine (i int)",
        "CREATE SCHEMA mine",
        "DROP TABLE customers",
        "ALTER TABLE customers ADD COLUMN x int",
        "TRUNCATE orders CASCADE",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "SELECT pg_sleep(1)",
        "SELECT pg_advisory_lock(1)",
        "SELECT pg_terminate_backend(1)",
        "SELECT set_config('statement_timeout', '0', false)",
        "SELECT lo_create(0)",
        "SELECT pg_notify('a', 'b')",
        "SELECT query_to_xml('SELECT 1', true, true, '')",
        "SELECT repeat('x', 1000000000)",
        "SELECT pg_read_file('/etc/passwd')",
        "COPY customers TO PROGRAM 'true'",
        "COPY customers TO '/tmp/x'",
        "SET ROLE cortexai",
        "SET temp_file_limit = -1",
        "ALTER ROLE cortexai PASSWORD 'x'",
    ],
)
async def test_its_roles_can_do_no_more_than_they_should(url: str, sandbox: Sandbox, role: str, text: str) -> None:
    other = new_sandbox(DEPLOYMENT, 3)
    await make(url, other, LIMITS)
    statement = text.format(other=other.name).encode()
    stored, connect = {"reader": (sandbox.reader_url, connect_reader), "writer": (sandbox.writer_url, connect_writer)}[
        role
    ]
    async with connect(await sandbox_address(stored, url), LIMITS) as connection:
        if "has_schema" in text:
            assert await (await connection.execute(statement)).fetchall() == [(False,)]
            return
        with pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.ReadOnlySqlTransaction)):
            await connection.execute(statement)


async def test_its_roles_have_their_limits_without_being_told(url: str, sandbox: Sandbox) -> None:
    address = await sandbox_address(sandbox.reader_url, url)
    with psycopg.connect(
        host=address.ips[0], port=address.port, dbname=address.database, user=address.user, password=address.password
    ) as plain:
        look = "SELECT current_setting('statement_timeout'), current_setting('default_transaction_read_only'), \
            current_setting('temp_file_limit'), current_schemas(false)::text"
        assert plain.execute(look).fetchone() == ("10s", "on", "256MB", f"{{{sandbox.name}}}")


async def test_its_roles_get_into_no_other_database(postgres: EmbeddedPostgres, url: str, sandbox: Sandbox) -> None:
    application = postgres.url_of("application_test")
    with psycopg.connect(postgres.url, autocommit=True) as admin:
        admin.execute("CREATE DATABASE application_test STRATEGY wal_log")
    address = await sandbox_address(sandbox.reader_url, url)
    await close_to_sandboxes(application)
    with psycopg.connect(application, autocommit=True) as admin:
        # Other tests have made accounts on this server, who may need to connect; so nothing was done for us.
        admin.execute("REVOKE CONNECT ON DATABASE application_test FROM PUBLIC")
    there = await sandbox_address(sandbox.reader_url, application)
    assert there.user == address.user
    with pytest.raises(DataSourceUnreachable, match="may not connect"):
        async with connect_reader(there, LIMITS):
            pass


async def test_it_is_dropped_while_somebody_works_in_it(url: str) -> None:
    made = new_sandbox(DEPLOYMENT, 4)
    await make(url, made, LIMITS)
    await make(url, made, LIMITS)  # again: it stays as it is
    async with connect_writer(await sandbox_address(made.writer_url, url), LIMITS) as connection:
        await connection.execute("BEGIN")
        await connection.execute("DELETE FROM order_items")
        await drop(url, made.name)
        with pytest.raises(psycopg.OperationalError):
            await connection.execute("SELECT 1")
    await drop(url, made.name)
    with psycopg.connect(url) as admin:
        left = admin.execute(
            "SELECT rolname FROM pg_roles WHERE starts_with(rolname, %(name)s)"
            " UNION ALL SELECT nspname FROM pg_namespace WHERE starts_with(nspname, %(name)s)",
            {"name": made.name},
        )
        assert left.fetchall() == []
    with pytest.raises(DataSourceUnreachable, match="user or the password"):
        async with connect_reader(await sandbox_address(made.reader_url, url), LIMITS):
            pass


async def test_sandboxes_are_found_by_their_deployment(url: str, sandbox: Sandbox) -> None:
    left, others = new_sandbox(DEPLOYMENT, 77), new_sandbox(OTHER_DEPLOYMENT, 78)
    for made in (left, others):
        await make(url, made, LIMITS)
    assert (await find_sandboxes(url, DEPLOYMENT)).items() >= {1: sandbox.name, 77: left.name}.items()
    assert await find_sandboxes(url, OTHER_DEPLOYMENT) == {78: others.name}


async def test_what_is_stored_names_no_server(sandbox: Sandbox) -> None:
    assert "127.0.0.1" not in sandbox.reader_url
    assert read_sandbox(sandbox.reader_url, sandbox.writer_url) == sandbox
    assert sandbox.reader_password not in repr(sandbox)


async def test_preparing_again_changes_nothing(url: str, sandbox: Sandbox) -> None:
    await prepare(url)
    assert await ask(url, sandbox, "SELECT count(*) FROM orders") == [(200,)]
    with pytest.raises(StatementFailed):
        await ask(url, sandbox, "SELECT pg_sleep(0)")


async def test_making_it_twice_at_once_makes_one(url: str) -> None:
    made = new_sandbox(DEPLOYMENT, 5)
    await asyncio.gather(*(make(url, made, LIMITS) for _ in range(3)))
    assert await ask(url, made, "SELECT count(*) FROM orders") == [(200,)]


async def test_what_it_holds_stays_when_it_is_made_again(url: str) -> None:
    made = new_sandbox(DEPLOYMENT, 6)
    await make(url, made, LIMITS)
    async with connect_writer(await sandbox_address(made.writer_url, url), LIMITS) as connection:
        await connection.execute("DELETE FROM orders WHERE id = 1")
    await make(url, made, LIMITS)
    assert await ask(url, made, "SELECT count(*) FROM orders") == [(199,)]


async def test_what_a_sandbox_of_a_release_before_holds_stays_too(url: str) -> None:
    made = new_sandbox(DEPLOYMENT, 8)
    await make(url, made, LIMITS)
    async with connect_writer(await sandbox_address(made.writer_url, url), LIMITS) as connection:
        await connection.execute("DELETE FROM orders WHERE id = 1")
    with psycopg.connect(url) as admin:
        admin.execute(f"COMMENT ON SCHEMA {made.name} IS NULL".encode())
    await make(url, made, LIMITS)
    assert await ask(url, made, "SELECT count(*) FROM orders") == [(199,)]


async def test_a_sandbox_of_a_release_before_is_not_dropped_because_it_takes_no_connection_now(url: str) -> None:
    made = new_sandbox(DEPLOYMENT, 9)
    await make(url, made, LIMITS)
    limit = "ALTER ROLE {}_reader CONNECTION LIMIT {}"
    with psycopg.connect(url) as admin:
        admin.execute(f"COMMENT ON SCHEMA {made.name} IS NULL".encode())
        admin.execute(limit.format(made.name, 0).encode())
    with pytest.raises(DataSourceUnreachable):
        await make(url, made, LIMITS)
    with psycopg.connect(url) as admin:
        admin.execute(limit.format(made.name, 5).encode())
    assert await ask(url, made, "SELECT count(*) FROM orders") == [(200,)]


@pytest.mark.parametrize("has_schema", [True, False])
async def test_another_ones_remains_of_its_name_are_no_part_of_it(url: str, has_schema: bool) -> None:
    lost, made = new_sandbox(DEPLOYMENT, 7), new_sandbox(DEPLOYMENT, 7)
    await make(url, lost, LIMITS)
    async with connect_writer(await sandbox_address(lost.writer_url, url), LIMITS) as connection:
        await connection.execute("DELETE FROM orders WHERE id = 1")
    if not has_schema:
        with psycopg.connect(url) as admin:
            admin.execute(f"DROP SCHEMA {made.name} CASCADE".encode())
        assert 7 in await find_sandboxes(url, DEPLOYMENT)
    await make(url, made, LIMITS)
    assert await ask(url, made, "SELECT count(*) FROM orders") == [(200,)]
    with pytest.raises(DataSourceUnreachable, match="user or the password"):
        await ask(url, lost, "SELECT 1")
