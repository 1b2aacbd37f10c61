"""The syntax wall beside a real server: what passes runs there, as one statement, on the tables that the wall has named."""

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import AsyncConnection, sql

from shared.data_sources.schema import Schema
from shared.data_sources.schema_reading import read_schema
from shared.data_sources.statements.check import check_query, check_write
from shared.errors import StatementRefused
from tests.support.statements.reading import PIECES, TABLES, TRAPS, hostile, ordinary

QUERIES = ordinary("ordinary_queries")
WRITES = ordinary("ordinary_writes")


@pytest.fixture(scope="module")
def source(make_database: Callable[[], str]) -> str:
    """The URL of a database with the tables of the statements alone."""
    url = make_database()
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(b"DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        connection.execute(TABLES.encode())
    return url


@pytest.fixture(scope="module")
def server(source: str) -> Iterator[psycopg.Connection]:
    """A connection that always uses the extended protocol."""
    with psycopg.connect(source, autocommit=True, prepare_threshold=0) as connection:
        yield connection


@pytest.fixture(scope="module")
async def schema(source: str) -> Schema:
    """What the server has."""
    async with await AsyncConnection.connect(source, autocommit=True) as connection:
        return await read_schema(connection)


@pytest.fixture(scope="module")
async def trapped(source: str) -> Schema:
    """What the server has after somebody has made traps."""
    async with await AsyncConnection.connect(source, autocommit=True) as connection:
        await connection.execute(TRAPS.encode())
        try:
            return await read_schema(connection)
        finally:
            await connection.execute(
                b"DROP OPERATOR public.<< (int, int); DROP FUNCTION evil, shadow, trap, shift; DROP DOMAIN evil_domain;"
                b"DROP FUNCTION public.reverse"
            )


def plan(server: psycopg.Connection, statement: str) -> dict[str, Any]:
    """How the server would run a statement: it parses exactly one, or fails."""
    explain = sql.SQL("EXPLAIN (FORMAT json, VERBOSE) {}").format(sql.SQL(statement))
    with server.cursor() as cursor:
        ((found,),) = cursor.execute(explain, prepare=True).fetchall()
    return dict(found[0]["Plan"])


def nodes(found: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Go through a plan."""
    yield found
    for child in found.get("Plans", ()):
        yield from nodes(child)


def relations(found: dict[str, Any]) -> set[str]:
    """The tables that a plan reads or changes."""
    return {f"{node['Schema']}.{node['Relation Name']}" for node in nodes(found) if "Relation Name" in node}


def test_the_lists_are_as_long_as_promised() -> None:
    assert len(QUERIES) + len(WRITES) >= 300
    assert len(hostile("hostile")) + len(hostile("hostile_writes")) >= 150
    assert len({kind for kind, _ in hostile("hostile")}) >= 12


def test_ordinary_queries_pass_and_run_on_the_tables_that_they_name(schema: Schema, server: psycopg.Connection) -> None:
    for statement in QUERIES:
        query = check_query(statement, schema)
        assert query.sql in statement
        found = plan(server, query.sql)
        assert not any(node["Node Type"] == "ModifyTable" for node in nodes(found))
        named = {table.full_name for table in query.tables if table.kind == "table"}
        behind_views = {"public.orders"} if any(table.kind == "view" for table in query.tables) else set()
        if "information_schema" not in statement:
            assert relations(found) <= named | behind_views, statement
        server.execute(query.sql.encode(), prepare=True).fetchall()


def test_ordinary_writes_pass_and_have_one_target(schema: Schema, server: psycopg.Connection) -> None:
    for statement in WRITES:
        write = check_write(statement, schema)
        found = plan(server, write.sql)
        assert found["Node Type"] == "ModifyTable"
        assert found["Operation"].lower() == write.kind
        assert f"{found['Schema']}.{found['Relation Name']}" == write.table.full_name
        assert sum(node["Node Type"] == "ModifyTable" for node in nodes(found)) == 1
        assert relations(found) <= {write.table.full_name, *(table.full_name for table in write.reads)}, statement


def test_the_parts_of_a_write_make_a_select_of_the_same_rows(schema: Schema, server: psycopg.Connection) -> None:
    for statement in WRITES:
        write = check_write(statement, schema)
        if write.kind == "insert":
            continue
        select = f"SELECT 1 FROM {write.table.full_name} AS {write.alias or write.table.name}"
        select += f", {write.joins}" if write.joins else ""
        select += f" WHERE ({write.condition})" if write.condition else ""
        plan(server, select)


def test_returning_can_be_put_behind_a_write(schema: Schema, server: psycopg.Connection) -> None:
    for statement in WRITES:
        write = check_write(statement, schema)
        found = plan(server, f"{write.sql} RETURNING 1 AS seen")
        assert "Output" in found, statement


def test_hostile_statements_are_refused(trapped: Schema) -> None:
    passed = [statement for _, statement in hostile("hostile") if not refuses(check_query, statement, trapped)]
    assert passed == []


def test_hostile_writes_are_refused(trapped: Schema) -> None:
    passed = [statement for _, statement in hostile("hostile_writes") if not refuses(check_write, statement, trapped)]
    assert passed == []


def test_a_query_is_no_write_and_a_write_is_no_query(schema: Schema) -> None:
    assert all(refuses(check_write, statement, schema) for statement in QUERIES)
    assert all(refuses(check_query, statement, schema) for statement in WRITES)


@given(st.lists(st.sampled_from(PIECES), min_size=1, max_size=6).map("".join))
def test_the_server_sees_one_statement_in_what_passes(schema: Schema, server: psycopg.Connection, text: str) -> None:
    for statement in (f"SELECT {text}", f"SELECT id FROM orders WHERE note = '{text}' OR note = {text}"):
        if refuses(check_query, statement, schema):
            continue
        problem, kind = "", ""
        try:
            kind = plan(server, check_query(statement, schema).sql)["Node Type"]
        except psycopg.Error as error:
            problem = str(error)
        assert "multiple commands" not in problem
        assert kind != "ModifyTable"


def refuses(check: Callable[[str, Schema], object], statement: str, schema: Schema) -> bool:
    """Whether the wall refuses a statement."""
    try:
        check(statement, schema)
    except StatementRefused as refused:
        return bool(refused.reason)
    return False
