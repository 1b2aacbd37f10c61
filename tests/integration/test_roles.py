"""The roles that `cortexai migrate` makes: the application's, which changes rows and no more, and the sandboxes' owner."""

import asyncio
from collections.abc import Iterator
from typing import Any, Final
from uuid import uuid4

import psycopg
import pytest
from psycopg import errors, sql
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from services.launcher.checks import postgres as look_at
from services.launcher.embedded.postgres import APP_USER, DATABASE, SANDBOX_USER, EmbeddedPostgres
from services.launcher.migrations import migrate_all
from shared.data_sources.connect import connect_reader
from shared.data_sources.limits import Limits
from shared.data_sources.sandbox.sandbox import drop, find_sandboxes, make, new_sandbox, sandbox_address
from shared.data_sources.sandbox.server import prepare
from shared.database.engine import allow_long_statements, is_transient, open_database
from shared.database.identity import QUERY, digest
from shared.settings import DatabaseSettings, Settings
from tests.conftest import settings_for

ANOTHER: Final = "ffffffffffffffff"
"""Another system that shares the server."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """A server of this file's own, that a release made whose application was the superuser: it has a sandbox already."""
    with EmbeddedPostgres(tmp_path_factory.mktemp("roles"), durable=False) as started:
        url = started.url_of("sandbox")
        asyncio.run(prepare(url))
        for deployment in (deployment_of(started), ANOTHER):
            asyncio.run(make(url, new_sandbox(deployment, 1), Limits()))
        migrate_all(settings_of(DATABASE_URL=started.url))
        yield started


def deployment_of(server: EmbeddedPostgres) -> str:
    """What tells the application's database from others."""
    with psycopg.connect(server.url) as connection:
        return digest(connection.execute(QUERY.encode()).fetchall()[0][0])


def settings_of(**urls: str) -> DatabaseSettings:
    """Settings with these URLs."""
    values: dict[str, Any] = {name.lower(): url for name, url in urls.items()}
    return DatabaseSettings.load(_env_file=None, **values)


@pytest.fixture(scope="module")
def migrated(server: EmbeddedPostgres) -> EmbeddedPostgres:
    """The server after an upgrade, made twice."""
    urls = {
        "DATABASE_URL": server.app_url,
        "SANDBOX_DATABASE_URL": server.sandbox_url,
        "MIGRATION_SANDBOX_URL": server.url_of("sandbox"),
    }
    for _ in range(2):
        migrate_all(settings_of(MIGRATION_DATABASE_URL=server.url, DATABASE_STATEMENT_SECONDS="1", **urls))
    return server


@pytest.fixture
def app(migrated: EmbeddedPostgres) -> Iterator[psycopg.Connection]:
    """A connection as the application's role."""
    with psycopg.connect(migrated.app_url, autocommit=True) as connection:
        yield connection


FORBIDDEN: Final = [
    "CREATE TABLE x (id int)",
    "CREATE TEMPORARY TABLE x (id int)",
    "CREATE SCHEMA x",
    "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE EXTENSION pg_trgm",
    "CREATE DATABASE x",
    "CREATE ROLE x",
    "ALTER TABLE users ADD COLUMN x int",
    "DROP TABLE users",
    "TRUNCATE users CASCADE",
    "CREATE INDEX ON users (email)",
    "ALTER TABLE audit_log DISABLE TRIGGER ALL",
    "SET session_replication_role = replica",
    "UPDATE audit_log SET action = 'x'",
    "DELETE FROM audit_log",
    "UPDATE admin_acts SET act = 'x'",
    "DELETE FROM admin_acts",
    "TRUNCATE admin_acts",
    "ALTER TABLE admin_acts DISABLE TRIGGER ALL",
    "UPDATE alembic_version SET version_num = 'x'",
    "DELETE FROM alembic_version",
    "SELECT * FROM pg_authid",
    "SELECT * FROM pg_shadow",
    "COPY users TO PROGRAM 'cat'",
    "COPY users TO '/tmp/x'",
    "COPY users FROM '/etc/passwd'",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT pg_ls_dir('/')",
    "SELECT lo_import('/etc/passwd')",
    "ALTER SYSTEM SET log_statement = 'all'",
    "SET ROLE cortexai",
    "SET SESSION AUTHORIZATION cortexai",
    "SELECT pg_reload_conf()",
    "ALTER ROLE cortexai PASSWORD 'x'",
    f"GRANT cortexai TO {APP_USER}",
]


@pytest.mark.parametrize("statement", FORBIDDEN)
def test_the_application_may_not(app: psycopg.Connection, statement: str) -> None:
    with pytest.raises((errors.InsufficientPrivilege, errors.InvalidAuthorizationSpecification)):
        app.execute(statement.encode())


@pytest.mark.parametrize("database", ["postgres", "template1", "sandbox"])
def test_the_application_can_not_connect_to_another_database(migrated: EmbeddedPostgres, database: str) -> None:
    url = migrated.app_url.rpartition("/")[0]
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        psycopg.connect(f"{url}/{database}")


def test_the_owner_of_sandboxes_can_not_connect_to_the_applications_database(migrated: EmbeddedPostgres) -> None:
    url = migrated.sandbox_url.rpartition("/")[0]
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        psycopg.connect(f"{url}/{DATABASE}")


@pytest.mark.parametrize(
    "statement",
    [
        f"GRANT {APP_USER} TO CURRENT_USER",
        f"ALTER ROLE {APP_USER} PASSWORD 'x'",
        "CREATE ROLE x SUPERUSER",
        "SET ROLE cortexai",
    ],
)
def test_the_owner_of_sandboxes_takes_no_other_role(migrated: EmbeddedPostgres, statement: str) -> None:
    with psycopg.connect(migrated.sandbox_url) as owner, pytest.raises(errors.InsufficientPrivilege):
        owner.execute(statement.encode())


def test_the_application_works_on_tables_that_a_later_migration_makes(migrated: EmbeddedPostgres) -> None:
    with psycopg.connect(migrated.url, autocommit=True) as owner:
        owner.execute("CREATE TABLE later (id bigint GENERATED ALWAYS AS IDENTITY, n int)")
    with psycopg.connect(migrated.app_url) as app:
        app.execute("INSERT INTO later (n) VALUES (1)")
        app.execute("UPDATE later SET n = 2")
        assert app.execute("DELETE FROM later RETURNING n").fetchall() == [(2,)]


def test_the_processes_of_the_release_before_go_on(migrated: EmbeddedPostgres) -> None:
    with psycopg.connect(migrated.url) as superuser:
        superuser.execute("INSERT INTO users (email, password_hash) VALUES ('old@example.com', 'x')")


async def test_sandboxes_of_before_and_new_ones_are_made_and_dropped_by_their_owner(migrated: EmbeddedPostgres) -> None:
    url = migrated.sandbox_url
    deployment = deployment_of(migrated)
    made = new_sandbox(deployment, 2)
    await prepare(url)  # as the API does before it makes one
    await make(url, made, Limits())
    await make(url, made, Limits())
    async with connect_reader(await sandbox_address(made.reader_url, url), Limits()) as connection:
        assert (await (await connection.execute("SHOW temp_file_limit")).fetchall()) == [("256MB",)]
        found = await find_sandboxes(url, deployment)
        assert set(found) == {1, 2}
        for name in found.values():  # one of them has an open session
            await drop(url, name)
    assert await find_sandboxes(url, deployment) == {}
    with psycopg.connect(migrated.url_of("sandbox")) as superuser:
        owner = "SELECT nspowner::regrole::text FROM pg_namespace WHERE nspname = %s"
        assert superuser.execute(owner, [new_sandbox(ANOTHER, 1).name]).fetchall() == [("cortexai",)]


def test_the_servers_log_has_no_values_of_sandboxes(migrated: EmbeddedPostgres) -> None:
    for database, is_logged in (("sandbox", False), (DATABASE, True)):
        mark = uuid4().hex
        with psycopg.connect(migrated.url_of(database)) as session, pytest.raises(errors.InvalidTextRepresentation):
            session.execute(f"SELECT '{mark}'::integer".encode())
        with psycopg.connect(migrated.url_of(database)), migrated.log_path.open() as log:
            assert (mark in log.read()) == is_logged


def test_a_role_that_owns_the_tables_keeps_the_rights_of_an_owner(migrated: EmbeddedPostgres) -> None:
    with psycopg.connect(migrated.url, autocommit=True) as superuser:
        superuser.execute("CREATE DATABASE owned")
        superuser.execute("CREATE ROLE owning SUPERUSER LOGIN PASSWORD 'a-password'")
    owner = migrated.url_of("owned").replace(migrated.url.split("@")[0], "postgresql://owning:a-password")
    migrate_all(settings_of(DATABASE_URL=owner))
    with psycopg.connect(migrated.url_of("owned"), autocommit=True) as superuser:
        superuser.execute("ALTER ROLE owning NOSUPERUSER")
        superuser.execute("REVOKE UPDATE, DELETE ON audit_log FROM owning")  # as a release before did
    migrate_all(settings_of(DATABASE_URL=owner, MIGRATION_DATABASE_URL=migrated.url_of("owned")))
    with psycopg.connect(owner) as connection:
        rights = "SELECT has_table_privilege('audit_log', 'DELETE'), has_table_privilege('alembic_version', 'UPDATE')"
        assert connection.execute(rights).fetchall() == [(True, True)]


async def test_a_statement_that_takes_too_long_says_not_now(migrated: EmbeddedPostgres) -> None:
    database = open_database(Settings(database_url=migrated.app_url, redis_url="redis://x").database_url, pool_size=1)
    try:
        async with database.connect() as db:
            with pytest.raises(OperationalError) as cut:
                await db.execute(text("SELECT pg_sleep(5)"))
        assert is_transient(cut.value)
        async with database.begin() as db:
            await allow_long_statements(db)
            await db.execute(text("SELECT pg_sleep(1.2)"))
    finally:
        await database.dispose()


def test_a_changed_password_is_taken_over(migrated: EmbeddedPostgres) -> None:
    changed = migrated.app_url.replace(f"{APP_USER}:", f"{APP_USER}:new")
    migrate_all(settings_of(MIGRATION_DATABASE_URL=migrated.url, DATABASE_URL=changed))
    psycopg.connect(changed).close()
    migrate_all(settings_of(MIGRATION_DATABASE_URL=migrated.url, DATABASE_URL=migrated.app_url))
    psycopg.connect(migrated.app_url).close()


def test_a_role_that_lets_the_account_in_keeps_its_verifier(migrated: EmbeddedPostgres) -> None:
    """A pooler may have a copy of it."""
    verifier = "SELECT rolpassword FROM pg_authid WHERE rolname IN (%s, %s) ORDER BY 1"
    with psycopg.connect(migrated.url) as superuser:
        before = superuser.execute(verifier, [APP_USER, SANDBOX_USER]).fetchall()
    migrate_all(settings_of(MIGRATION_DATABASE_URL=migrated.url, DATABASE_URL=migrated.app_url))
    with psycopg.connect(migrated.url) as superuser:
        assert superuser.execute(verifier, [APP_USER, SANDBOX_USER]).fetchall() == before


def test_a_managed_database_with_one_role_goes_on_working(migrated: EmbeddedPostgres) -> None:
    with psycopg.connect(migrated.url, autocommit=True) as superuser:
        superuser.execute("CREATE ROLE managed LOGIN PASSWORD 'a-password'")
        superuser.execute("CREATE DATABASE managed OWNER managed")
        superuser.execute(sql.SQL("GRANT CONNECT ON DATABASE managed TO managed"))
    url = migrated.url_of("managed").replace(f"cortexai:{migrated.password}", "managed:a-password")
    assert migrate_all(settings_of(DATABASE_URL=url)) == migrate_all(settings_of(DATABASE_URL=url))


@pytest.mark.parametrize(("role", "says"), [("app_url", None), ("url", "is a superuser")])
def test_the_doctor_tells_of_a_role_that_may_too_much(migrated: EmbeddedPostgres, role: str, says: str | None) -> None:
    settings = settings_for("postgresql://127.0.0.1/x", "redis://127.0.0.1:1/0", "http://127.0.0.1:1")
    url = getattr(migrated, role).replace("postgresql://", "postgresql+psycopg://")
    found = list(look_at(settings.model_copy(update={"database_url": url})))
    told = [(one.state, one.detail) for one in found if one.subject == "database role"]
    assert told == ([] if says is None else [("note", f"the role of DATABASE_URL {says}")])
    assert all(one.state != "wrong" for one in found)
