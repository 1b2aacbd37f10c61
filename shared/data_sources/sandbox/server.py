"""The database in which sandboxes are. Whatever everybody may do in a new database is taken away here."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import psycopg
from psycopg import errors, sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from shared.data_sources.dangerous_functions import DANGEROUS, FIND
from shared.data_sources.failures import not_connected
from shared.data_sources.limits import Limits
from shared.database.roles import is_wrong_password
from shared.database_urls import to_libpq
from shared.errors import DataSourceUnreachable
from shared.telemetry.logs import get_logger

log = get_logger(__name__)

Admin = psycopg.AsyncConnection[Any]

GROUP: Final = "cortexai_sandboxes"
"""The role whose members may connect to the database: one entry in its rights, however many sandboxes there are."""
CONNECT_SECONDS: Final = 5
MAX_TEMP_FILE_BYTES: Final = Limits().temp_file_bytes
STATEMENT_SECONDS: Final = 30
LOCK: Final = 0x5A9D_B0C5
"""The advisory lock of those who change rights of the database. Two at once would fail: `tuple concurrently updated`."""
_MAKE_GROUP: Final = sql.SQL("CREATE ROLE {} NOLOGIN")
_CLOSE: Final = (
    sql.SQL("REVOKE ALL ON DATABASE {database} FROM PUBLIC"),
    sql.SQL("GRANT CONNECT ON DATABASE {database} TO {group}"),
    sql.SQL("REVOKE ALL ON SCHEMA public FROM PUBLIC"),
)
_GIVE: Final = (
    sql.SQL("ALTER ROLE {owner} CREATEROLE"),  # it may have been there before
    sql.SQL("ALTER DATABASE {database} OWNER TO {owner}"),
    sql.SQL("ALTER DATABASE {database} SET temp_file_limit TO {temp_files}"),
    # What the server says of a statement that fails may quote a user's rows. Whoever has sent it is told.
    sql.SQL("ALTER DATABASE {database} SET log_min_messages TO 'fatal'"),
    sql.SQL("GRANT {group} TO {owner} WITH ADMIN OPTION"),
    sql.SQL("GRANT USAGE ON SCHEMA public TO {owner}"),
    # Taken from everybody here; the owner makes and drops sandboxes with these.
    sql.SQL(
        "GRANT EXECUTE ON FUNCTION pg_advisory_xact_lock(bigint), pg_terminate_backend(integer, bigint) TO {owner}"
    ),
    # Whoever makes a role only administers it: to end its sessions and drop what it has, the owner is a member too.
    sql.SQL("ALTER ROLE {owner} SET createrole_self_grant TO 'set, inherit'"),
)
_NOT_YET: Final = """
WITH schemas AS (SELECT oid, nspname, nspowner FROM pg_catalog.pg_namespace WHERE starts_with(nspname, %(prefix)s)),
    owner AS (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = %(owner)s)
SELECT format('ALTER SCHEMA %%I OWNER TO %%I', nspname, %(owner)s) FROM schemas, owner WHERE nspowner <> owner.oid
UNION ALL
SELECT format('ALTER TABLE %%s OWNER TO %%I', c.oid::regclass, %(owner)s)
FROM pg_catalog.pg_class AS c JOIN schemas ON schemas.oid = c.relnamespace, owner
WHERE c.relkind = 'r' AND c.relowner <> owner.oid
UNION ALL
SELECT format('ALTER FUNCTION %%s OWNER TO %%I', p.oid::regprocedure, %(owner)s)
FROM pg_catalog.pg_proc AS p JOIN schemas ON schemas.oid = p.pronamespace, owner WHERE p.proowner <> owner.oid
UNION ALL
SELECT format('GRANT %%I TO %%I WITH ADMIN OPTION', r.rolname, %(owner)s)
FROM pg_catalog.pg_roles AS r, pg_catalog.pg_roles AS g, pg_catalog.pg_auth_members AS m, owner
WHERE g.rolname = %(group)s AND m.roleid = g.oid AND m.member = r.oid AND r.oid <> owner.oid
    AND starts_with(r.rolname, %(prefix)s) AND NOT pg_has_role(owner.oid, r.oid, 'USAGE')
"""
_OTHER_ACCOUNTS: Final = """
SELECT EXISTS (
    SELECT FROM pg_catalog.pg_roles AS r JOIN pg_catalog.pg_database AS d ON d.datname = current_database()
    WHERE r.rolcanlogin AND NOT r.rolsuper AND r.oid <> d.datdba AND NOT pg_has_role(r.oid, %s, 'MEMBER')
        AND NOT r.rolname = ANY(%s)
)
"""


def prefix_of(deployment: str) -> str:
    """What the names of a deployment's sandboxes and their roles begin with. `deployment` is what `identify` says."""
    return f"sandbox_{deployment[:8]}_"


@asynccontextmanager
async def admin(url: str, **others: str) -> AsyncIterator[Admin]:
    """A connection as the owner of the sandboxes, autocommitting. `url` is SANDBOX_DATABASE_URL, `others` wins over it.

    Raises:
        DataSourceUnreachable: the server does not answer, refuses, or the connection is lost.

    """
    connection = await _connect(url, **others)
    try:
        yield connection
    except psycopg.Error as error:
        log.warning("sandbox_server_failed", error=type(error).__name__, state=error.sqlstate)
        raise DataSourceUnreachable("The sandboxes' server refuses, or does not answer.") from error
    finally:
        await connection.close()


async def _connect(url: str, **others: str) -> Admin:
    try:
        return await psycopg.AsyncConnection.connect(
            make_conninfo(to_libpq(url), **others),
            autocommit=True,
            prepare_threshold=None,
            connect_timeout=CONNECT_SECONDS,
            application_name="cortexai sandboxes",
            options=f"-c statement_timeout={STATEMENT_SECONDS}s -c lock_timeout={STATEMENT_SECONDS // 2}s",
        )
    except (psycopg.Error, OSError) as error:
        raise not_connected(error) from None  # its message names hosts


async def lets_in(url: str, user: str, password: str) -> bool:
    """Whether the account has this password.

    Raises:
        DataSourceUnreachable: the server does not answer, or refuses for another reason, such as too many connections.

    """
    where = make_conninfo(to_libpq(url), user=user, password=password, connect_timeout=CONNECT_SECONDS)
    try:
        await (await psycopg.AsyncConnection.connect(where)).close()
    except psycopg.OperationalError as error:
        if is_wrong_password(error):
            return False
        raise not_connected(error) from None
    return True


async def prepare(url: str) -> None:
    """Make the database unless there is one, and close it to all but sandboxes' roles. May be repeated.

    Raises:
        DataSourceUnreachable: the server does not answer, or refuses.

    """
    name = str(conninfo_to_dict(to_libpq(url)).get("dbname") or "sandbox")
    try:
        opened = await _connect(url)
    except DataSourceUnreachable:
        await make_database(url)
    else:
        await opened.close()
    async with admin(url) as connection, connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        found = await connection.execute("SELECT FROM pg_catalog.pg_roles WHERE rolname = %s", [GROUP])
        if found.rowcount == 0:
            await connection.execute(_MAKE_GROUP.format(sql.Identifier(GROUP)))
        for statement in _CLOSE:
            await connection.execute(statement.format(database=sql.Identifier(name), group=sql.Identifier(GROUP)))
        await _revoke_functions(connection)


async def make_database(url: str) -> None:
    """Make the database unless there is one. May be repeated, also at once.

    Raises:
        DataSourceUnreachable: the server does not answer, or refuses.

    """
    name = str(conninfo_to_dict(to_libpq(url)).get("dbname") or "sandbox")
    async with _maintenance(url) as connection:
        found = await connection.execute("SELECT FROM pg_catalog.pg_database WHERE datname = %s", [name])
        if found.rowcount == 0:
            # Another process may be quicker.
            with contextlib.suppress(errors.DuplicateDatabase, errors.UniqueViolation):
                await connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))


@asynccontextmanager
async def _maintenance(url: str) -> AsyncIterator[Admin]:
    """A connection to the database that each server has."""
    async with admin(url, dbname="postgres") as connection:
        yield connection


async def _revoke_functions(connection: Admin) -> None:
    """Take the dangerous functions from everybody in this database. Only a superuser can."""
    if connection.info.parameter_status("is_superuser") != "on":
        return
    for signature, is_procedure in await (
        await connection.execute(FIND, {"names": DANGEROUS, "role": "public"})
    ).fetchall():
        kind = "PROCEDURE" if is_procedure else "FUNCTION"
        await connection.execute(f"REVOKE EXECUTE ON {kind} {signature} FROM PUBLIC".encode())


async def _change(connection: Admin, statement: sql.Composed | bytes) -> None:
    """Change something of the sandboxes, while nobody else does."""
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        await connection.execute(statement)


async def give_to(url: str, owner: str, deployment: str) -> None:
    """Make a role the owner of the database and of a deployment's sandboxes in it, those of a superuser's time too.

    `url` is that of a superuser, in the database. What only a superuser can set holds for everybody there from now on. Each
    change is a transaction of its own: all at once would take more locks than a server has, and keep users from sandboxes
    for as long. May be repeated, also where it was broken off.

    Raises:
        DataSourceUnreachable: the server does not answer, or refuses.

    """
    async with admin(url) as connection:
        ((database,),) = await (await connection.execute("SELECT current_database()")).fetchall()
        names = {"database": sql.Identifier(database), "owner": sql.Identifier(owner), "group": sql.Identifier(GROUP)}
        for statement in _GIVE:
            await _change(connection, statement.format(**names, temp_files=str(MAX_TEMP_FILE_BYTES // 1024)))
        found = await connection.execute(_NOT_YET, {"owner": owner, "group": GROUP, "prefix": prefix_of(deployment)})
        for (change,) in await found.fetchall():
            # What is dropped meanwhile needs no owner.
            with contextlib.suppress(errors.UndefinedObject, errors.UndefinedTable, errors.InvalidSchemaName):
                await _change(connection, str(change).encode())


async def close_to_sandboxes(database_url: str, known: Sequence[str] = ()) -> bool:
    """Let only those who were given the right, its owner and superusers connect to the application's own database.

    It is left as it is where sandboxes are on another server. `known` are roles of ours, which need no right that everybody
    has. Returns whether sandboxes' roles are kept out. They are not where other accounts exist, who may need to connect.

    Raises:
        DataSourceUnreachable: the server does not answer, or refuses.

    """
    async with admin(database_url) as connection:
        groups = await connection.execute("SELECT FROM pg_catalog.pg_roles WHERE rolname = %s", [GROUP])
        if groups.rowcount == 0:
            return True  # sandboxes are on another server
        ((has_others,),) = await (await connection.execute(_OTHER_ACCOUNTS, [GROUP, list(known)])).fetchall()
        if has_others:
            return False
        ((name,),) = await (await connection.execute("SELECT current_database()")).fetchall()
        await connection.execute(sql.SQL("REVOKE CONNECT ON DATABASE {} FROM PUBLIC").format(sql.Identifier(name)))
        # To a role that is not its owner, the server only says that nothing could be revoked.
        is_open = await connection.execute("SELECT has_database_privilege('public', current_database(), 'CONNECT')")
        return not (await is_open.fetchall())[0][0]
