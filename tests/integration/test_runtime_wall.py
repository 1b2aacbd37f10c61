"""The runtime wall alone: hostile statements go straight to the reader's session, as if the syntax wall were not there."""

import contextlib
import sys
from dataclasses import replace

import psycopg
import pytest

from services.launcher.embedded.postgres import EmbeddedPostgres
from shared.data_sources.connect import connect_reader
from shared.data_sources.hosts import Address, own_address
from shared.data_sources.limits import Limits
from shared.data_sources.querying import run_query
from shared.data_sources.statements.checked import Query
from shared.data_sources.urls import read_source_url
from shared.errors import StatementFailed
from tests.support.data_sources import Source, make_source
from tests.support.hostile_sql import HARMLESS_BY_THEMSELVES, HOSTILE

LIMITS = Limits(statement_seconds=0.1, lock_seconds=0.1)
WHAT_IS = """
SELECT (SELECT string_agg(n::text, ',' ORDER BY id) FROM notes AS n),
       (SELECT string_agg(concat_ws(' ', relname, relkind, relacl::text, relowner, relchecks), ',' ORDER BY oid) FROM pg_class
        WHERE relnamespace::regnamespace::text !~ '^pg_toast'),
       (SELECT string_agg(concat_ws(' ', nspname, nspacl::text), ',' ORDER BY oid) FROM pg_namespace WHERE nspname !~ '^pg_'),
       (SELECT string_agg(r::text, ',' ORDER BY oid) FROM pg_authid AS r WHERE rolname = ANY(%s)),
       (SELECT string_agg(s::text, ',' ORDER BY setrole, setdatabase) FROM pg_db_role_setting AS s
        WHERE setrole = ANY(SELECT oid FROM pg_roles WHERE rolname = ANY(%s))),
       (SELECT count(*) FROM pg_proc), (SELECT count(*) FROM pg_trigger), (SELECT count(*) FROM pg_extension),
       (SELECT count(*) FROM pg_largeobject_metadata), (SELECT count(*) FROM pg_replication_slots),
       (SELECT concat_ws(' ', last_value, is_called) FROM notes_id_seq)
"""


@pytest.fixture(scope="module")
def source(postgres: EmbeddedPostgres) -> Source:
    return make_source(postgres)


def what_is(source: Source) -> tuple[object, ...]:
    """All that a statement could have changed in the source."""
    roles = [read_source_url(url).user for url in (source.reader_url, source.writer_url)]
    with source.owner() as owner:
        found = owner.execute(WHAT_IS, [roles, roles]).fetchone()
    assert found
    return tuple(found)


async def outcome(address: Address, text: str) -> str:
    async with connect_reader(address, LIMITS) as connection:
        try:
            await run_query(connection, Query(text, ()), LIMITS)
        except StatementFailed as failed:
            return failed.message
    return "ran"


def test_there_are_more_than_a_hundred_of_them() -> None:
    assert sum(map(len, HOSTILE.values())) >= 130


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("role", ["reader", "writer"])
async def test_none_runs_and_nothing_changes(source: Source, kind: str, role: str) -> None:
    """A reader's session is as safe with a role that has the rights to write: the session itself refuses."""
    address = await own_address(read_source_url(source.reader_url if role == "reader" else source.writer_url))
    before = what_is(source)
    ran = [text for text in HOSTILE[kind] if await outcome(address, text) == "ran"]
    assert ran == []
    assert what_is(source) == before


async def test_each_alone_as_a_plain_statement_changes_nothing_either(source: Source) -> None:
    """Not even behind DECLARE: as a statement of its own, in the extended protocol, and another one after it."""
    address = await source.reader()
    before = what_is(source)
    for text in (text for kind, texts in HOSTILE.items() if kind != "time" for text in texts):
        async with connect_reader(address, LIMITS) as connection:
            for statement in (text, "DELETE FROM notes", "CREATE TEMP TABLE left_over (id int)"):
                with contextlib.suppress(psycopg.Error, StatementFailed):
                    await connection.execute(statement.encode())
                with contextlib.suppress(psycopg.Error):  # a COPY that nobody reads ends the connection
                    await connection.rollback()
    # A role may change its own password and settings, once a statement has made its session writable.
    changed = {place for place, (one, other) in enumerate(zip(before, what_is(source), strict=True)) if one != other}
    assert changed <= {3, 4}


@pytest.mark.parametrize("text", HARMLESS_BY_THEMSELVES)
async def test_what_runs_leaves_nothing_behind(source: Source, text: str) -> None:
    before = what_is(source)
    assert await outcome(await source.reader(), text) == "ran"
    assert what_is(source) == before
    with source.owner() as owner:
        assert owner.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'").fetchone() == (0,)


async def test_a_statement_that_takes_the_servers_limit_away_is_stopped_from_here(source: Source) -> None:
    text = (
        "SELECT set_config('statement_timeout', '0', false) FROM generate_series(1, 200)"
        " UNION ALL SELECT pg_sleep(60)::text"
    )
    async with connect_reader(await source.reader(), LIMITS) as connection:
        pid = connection.info.backend_pid
        connection.seconds = 0.5  # type: ignore[attr-defined]
        with pytest.raises(Exception, match=r"(?s)longer than|in time|was lost"):
            await run_query(connection, Query(text, ()), replace(LIMITS, statement_seconds=0.1))
    with source.owner() as owner:
        look = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s AND state = 'active'"
        assert owner.execute(look, [pid]).fetchone() == (0,)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux bounds the memory of a process")
async def test_a_statement_that_gathers_too_much_fails_and_the_server_goes_on(
    source: Source, postgres: EmbeddedPostgres
) -> None:
    gather = "SELECT length(string_agg(repeat('x', 1000000), '')) FROM generate_series(1, 900) AS n"
    before = postgres.pid
    address = await source.reader()
    async with connect_reader(address, Limits(statement_seconds=20)) as connection:
        with pytest.raises(StatementFailed, match="out of memory"):
            await run_query(connection, Query(gather, ()), Limits(statement_seconds=20))
    async with connect_reader(address, LIMITS) as connection:
        assert (await run_query(connection, Query("SELECT 1 AS one", ()), LIMITS)).rows
    assert postgres.pid == before
