"""The runtime wall: what a session on a data source can't do, whatever runs in it."""

import asyncio
import contextlib
import re
import socket
import ssl
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

import psycopg
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from services.launcher.embedded.postgres import EmbeddedPostgres
from shared.data_sources.connect import connect_reader, connect_writer
from shared.data_sources.hosts import own_address
from shared.data_sources.limits import Limits
from shared.data_sources.querying import run_query
from shared.data_sources.statements.checked import Query
from shared.data_sources.urls import read_source_url
from shared.errors import DataSourceUnreachable, DataSourceUnsafe, StatementFailed
from tests.doubles.pooler import pooler
from tests.support.data_sources import Source, make_source

LIMITS = Limits()


@pytest.fixture(scope="module")
def source(postgres: EmbeddedPostgres) -> Source:
    return make_source(postgres)


def count(source: Source) -> int:
    with source.owner() as owner:
        found = owner.execute("SELECT count(*) FROM notes").fetchone()
    assert found
    return int(found[0])


async def ask(source: Source, text: str, limits: Limits = LIMITS) -> list[tuple[object, ...]]:
    async with connect_reader(await source.reader(), limits) as connection:
        return list((await run_query(connection, Query(text, ()), limits)).rows)


async def test_a_query_gives_json_values_and_types(source: Source) -> None:
    text = """SELECT 1::int AS i, 9007199254740993::bigint AS big, 1.50::numeric(10,2) AS n, true AS b, NULL AS none,
        'NaN'::float8 AS nan, 0.1::float4 AS f, '2026-01-02'::date AS d, '\\x00ff'::bytea AS bytes, ARRAY[1,2] AS a,
        '{"b": 1, "a": 2}'::json AS j, '[1,3)'::int4range AS r, timestamptz '2026-01-02 03:04:05+02' AS t, 'ä' AS i -- end"""
    async with connect_reader(await source.reader(), LIMITS) as connection:
        result = await run_query(connection, Query(text, ()), LIMITS)
    assert result.rows == (
        (1, "9007199254740993", "1.50", True, None, "NaN", 0.1, "2026-01-02", "\\x00ff", "{1,2}", '{"b": 1, "a": 2}',
         "[1,3)", "2026-01-02 01:04:05+00", "ä"),
    )  # fmt: skip
    assert [column.type for column in result.columns][:4] == ["integer", "bigint", "numeric(10,2)", "boolean"]
    assert [column.name for column in result.columns].count("i") == 2
    assert not result.is_cut


async def test_rows_bytes_and_values_are_bounded_and_it_is_told(source: Source) -> None:
    async with connect_reader(await source.reader(), LIMITS) as connection:
        many = Query("SELECT i FROM generate_series(1, 10000) AS i", ())
        rows = await run_query(connection, many, replace(LIMITS, rows=250))
        assert (len(rows.rows), rows.is_cut) == (250, True)
        exact = await run_query(connection, many, replace(LIMITS, rows=10000))
        assert (len(exact.rows), exact.is_cut) == (10000, False)
        heavy = await run_query(connection, many, replace(LIMITS, result_bytes=100))
        assert 1 < len(heavy.rows) < 100
        assert heavy.is_cut
        long = await run_query(connection, Query("SELECT repeat('x', 100000)", ()), LIMITS)
        assert (len(str(long.rows[0][0])), long.is_cut) == (20001, True)


async def test_rows_of_any_width_and_weight_are_cut_to_the_bound(source: Source) -> None:
    row = ", ".join(["repeat('x', 20000)"] * 200)
    heavy = "SELECT repeat('x', 1000000) FROM generate_series(1, 200)"
    async with connect_reader(await source.reader(), LIMITS) as connection:
        for text, rows in ((f"VALUES ({row}), ({row})", 1), (heavy, 13)):
            result = await run_query(connection, Query(text, ()), LIMITS)
            assert (len(result.rows), result.is_cut) == (rows, True)
            assert sum(len(str(value)) for row in result.rows for value in row) <= LIMITS.result_bytes


async def test_a_server_that_sends_too_much_is_cut_off(source: Source) -> None:
    limits = replace(LIMITS, received_bytes=1024 * 1024)
    with pytest.raises(StatementFailed, match="more than 1 MiB"):
        await ask(source, "SELECT repeat('x', 5000000)", limits)


@pytest.mark.parametrize(
    "text",
    [
        "COMMIT; DROP TABLE notes",
        "SELECT 1; DELETE FROM notes",
        "COMMIT",
        "DELETE FROM notes",
        "WITH gone AS (DELETE FROM notes RETURNING id) SELECT * FROM gone",
        "SELECT * INTO stolen FROM notes",
        "CREATE TEMP TABLE t (i int)",
        "SELECT * FROM notes FOR UPDATE",
        "SELECT nextval('notes_id_seq')",
        "SELECT setval('notes_id_seq', 1)",
        "SET TRANSACTION READ WRITE",
        "SELECT set_config('transaction_read_only', 'off', true)",
        "COPY notes TO PROGRAM 'true'",
        "SELECT 1) ; DELETE FROM notes; --",
    ],
)
async def test_a_reader_changes_nothing(source: Source, text: str) -> None:
    before = count(source)
    with pytest.raises(StatementFailed):
        await ask(source, text)
    async with connect_reader(await source.reader(), LIMITS) as connection:
        with contextlib.suppress(psycopg.Error):
            await connection.execute(text.encode())
        with pytest.raises(psycopg.Error):
            await connection.execute("DELETE FROM notes")
        await connection.rollback()
    assert count(source) == before


async def test_a_writer_runs_one_statement_at_a_time(source: Source) -> None:
    before = count(source)
    async with connect_writer(await source.writer(), LIMITS) as connection:
        with pytest.raises(psycopg.errors.SyntaxError, match="multiple commands"):
            await connection.execute("DELETE FROM notes; SELECT 1")
        assert count(source) == before
        async with connection.transaction(force_rollback=True):
            deleted = await connection.execute("DELETE FROM notes")
            assert deleted.rowcount == before
    with pytest.raises(StatementFailed):
        async with connect_writer(await source.writer(), LIMITS) as connection:
            await run_query(connection, Query("SELECT nextval('notes_id_seq')", ()), LIMITS)


async def test_a_failure_is_told_on_one_line_with_its_place(source: Source) -> None:
    with pytest.raises(StatementFailed) as failed:
        await ask(source, "SELECT\n  txt FROM notes")
    assert failed.value.message == (
        'column "txt" does not exist (at character 10) Hint: Perhaps you meant to reference the column "notes.text".'
    )


async def test_a_slow_statement_is_stopped(source: Source) -> None:
    with pytest.raises(StatementFailed, match=r"longer than 0\.2 s"):
        await ask(source, "SELECT pg_sleep(30)", replace(LIMITS, statement_seconds=0.2))


async def test_who_stops_waiting_stops_the_statement(source: Source) -> None:
    async with connect_reader(await source.reader(), LIMITS) as connection:
        pid = connection.info.backend_pid
        asking = asyncio.create_task(run_query(connection, Query("SELECT pg_sleep(9)", ()), LIMITS))
        with source.owner() as owner:
            look = "SELECT state FROM pg_stat_activity WHERE pid = %s AND query LIKE '%%FETCH%%'"
            while owner.execute(look, [pid]).fetchone() != ("active",):  # noqa: ASYNC110 - the server's state
                await asyncio.sleep(0.01)
            asking.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asking
            assert owner.execute(look, [pid]).fetchone() != ("active",)


async def test_a_superuser_is_refused(source: Source) -> None:
    address = await own_address(read_source_url(source.owner_url))
    with pytest.raises(DataSourceUnsafe, match="superuser"):
        async with connect_reader(address, LIMITS):
            pass


async def test_what_keeps_us_out_is_told_without_hosts_or_passwords(source: Source) -> None:
    address = await source.reader()
    for wrong, words in (
        (replace(address, password="wrong"), "user or the password"),
        (replace(address, database="nothing"), "no such user or database"),
        (replace(address, port=1), "does not answer"),
        (replace(address, ssl_mode="require"), "offers no TLS"),
        (replace(address, ips=("192.0.2.1",)), "does not answer"),
    ):
        with pytest.raises(DataSourceUnreachable, match=words) as refused:
            async with connect_reader(wrong, replace(LIMITS, connect_seconds=0.3)):
                pass
        assert "127.0.0.1" not in refused.value.message
        assert refused.value.__cause__ is None


async def test_a_server_that_lies_is_told_from_one_that_works_and_nothing_of_it_is_quoted(source: Source) -> None:
    address = await source.reader()
    async with pooler("127.0.0.1", address.port, "lies") as port:
        with pytest.raises(DataSourceUnreachable, match="does not answer as PostgreSQL does") as refused:
            async with connect_reader(replace(address, port=port), LIMITS) as connection:
                await run_query(connection, Query("SELECT 4242", ()), LIMITS)
    assert refused.value.__suppress_context__


async def test_a_silent_address_leaves_time_for_the_next(source: Source) -> None:
    address = await source.reader()
    with socket.create_server(("127.0.0.2", address.port)):  # takes connections, and nobody reads them
        address = replace(address, ips=("127.0.0.2", *address.ips))
        async with connect_reader(address, replace(LIMITS, connect_seconds=1)) as connection:
            assert connection.info.hostaddr == "127.0.0.1"


async def test_behind_a_silent_address_a_pooler_that_knows_no_options_is_still_tried(
    postgres: EmbeddedPostgres,
) -> None:
    behind = make_source(postgres)
    address = await behind.reader()
    async with pooler("127.0.0.1", address.port, "refuses") as port:
        with socket.create_server(("127.0.0.2", port)):
            address = replace(address, port=port, ips=("127.0.0.2", *address.ips))
            with pytest.raises(DataSourceUnsafe):  # nobody has set the limits by ALTER ROLE
                async with connect_reader(address, replace(LIMITS, connect_seconds=1)):
                    pass


async def test_a_server_that_says_nothing_is_not_waited_for(source: Source) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, and nobody reads them
        address = replace(await source.reader(), port=silent.getsockname()[1])
        with pytest.raises(DataSourceUnreachable, match="in time"):
            async with connect_reader(address, replace(LIMITS, connect_seconds=0.2)):
                pass


@pytest.mark.parametrize("manner", ["passes over", "refuses"])
async def test_behind_a_pooler_nothing_runs_without_limits(
    postgres: EmbeddedPostgres, manner: Literal["passes over", "refuses"]
) -> None:
    behind = make_source(postgres)
    address = await behind.reader()
    async with pooler("127.0.0.1", address.port, manner) as port:
        address = replace(address, port=port)
        with pytest.raises(DataSourceUnsafe) as unsafe:
            async with connect_reader(address, LIMITS):
                pass
        advice = re.findall(r"ALTER ROLE … SET [^;]+;", unsafe.value.message)
        assert {line.split()[4] for line in advice} >= {"default_transaction_read_only", "statement_timeout"}
        with behind.owner() as owner:
            for line in advice:
                owner.execute(line.replace("…", address.user).encode())
        async with connect_reader(address, LIMITS) as connection:
            with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
                await connection.execute("CREATE TEMP TABLE t (i int)")
        with behind.owner() as owner:
            owner.execute(f"ALTER ROLE {address.user} SET statement_timeout = '1h'".encode())
        with pytest.raises(DataSourceUnsafe, match="statement_timeout"):
            async with connect_reader(address, LIMITS):
                pass


def make_certificate(folder: Path, name: str) -> ssl.SSLContext:
    """A certificate that nobody has signed, for a host. Its file is `certificate.pem`."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(
            subject, subject, key.public_key(), x509.random_serial_number(), now, now + timedelta(1)
        )
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    secret = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(pem))
    (folder / "key.pem").write_bytes(secret)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    return context


async def test_a_certificate_is_verified_where_the_address_asks_for_that(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = replace(await source.reader(), host="db.example.com")
    tls = make_certificate(tmp_path, "db.example.com")
    async with pooler("127.0.0.1", address.port, "tells", tls) as port:

        async def connect(mode: str, host: str = "db.example.com") -> None:
            async with connect_reader(replace(address, port=port, ssl_mode=mode, host=host), LIMITS) as connection:
                assert connection.pgconn.ssl_in_use

        await connect("require")
        with pytest.raises(DataSourceUnreachable, match="certificate can't be verified"):
            await connect("verify-full")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
        await connect("verify-full")
        await connect("verify-ca", "other.example.com")
        with pytest.raises(DataSourceUnreachable, match="certificate can't be verified"):
            await connect("verify-full", "other.example.com")
