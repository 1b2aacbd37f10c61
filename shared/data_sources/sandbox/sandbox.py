"""A user's sandbox: a schema with sample tables, a role that reads them and one that writes them. Made and dropped together."""

import hashlib
import secrets
from dataclasses import dataclass, field, replace
from typing import Final

from psycopg import sql

from shared.data_sources.connect import session_settings
from shared.data_sources.hosts import Address, own_address
from shared.data_sources.limits import Limits
from shared.data_sources.sandbox.server import GROUP, LOCK, Admin, admin, lets_in, prefix_of
from shared.data_sources.sandbox.tables import ROWS, TABLES
from shared.data_sources.urls import SourceUrl, read_source_url
from shared.database_urls import to_libpq

CONNECTIONS: Final = 8
"""How many connections each of a sandbox's roles may have."""
WAIT_FOR_SESSIONS_MS: Final = 5000
_MARK: Final = "SELECT obj_description(oid, 'pg_namespace') FROM pg_namespace WHERE nspname = %s"
_FIND: Final = """
SELECT nspname FROM pg_namespace WHERE starts_with(nspname, %(prefix)s)
UNION SELECT regexp_replace(rolname, '_(reader|writer)$', '') FROM pg_roles WHERE starts_with(rolname, %(prefix)s)
"""
_RIGHTS: Final = (("reader", "SELECT", ""), ("writer", "SELECT, INSERT, UPDATE, DELETE", "USAGE"))


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A sandbox's name, which is its schema's, and the passwords of its two roles."""

    name: str
    reader_password: str = field(repr=False)
    writer_password: str = field(repr=False)

    @property
    def reader_url(self) -> str:
        """What is stored of the reader: the server is not in it, since the operator may move that."""
        return _stored_url(f"{self.name}_reader", self.reader_password, self.name)

    @property
    def writer_url(self) -> str:
        """What is stored of the writer."""
        return _stored_url(f"{self.name}_writer", self.writer_password, self.name)

    @property
    def mark(self) -> str:
        """The comment on the schema, by which another sandbox with this name is known. Tells nothing of the passwords."""
        return hashlib.sha256(f"{self.reader_password} {self.writer_password}".encode()).hexdigest()


def new_sandbox(deployment: str, source_id: int) -> Sandbox:
    """A sandbox that is not made yet. `deployment` tells apart systems that share a server; see `identify`."""
    return Sandbox(f"{prefix_of(deployment)}{source_id}", secrets.token_urlsafe(24), secrets.token_urlsafe(24))


def read_sandbox(reader_url: str, writer_url: str) -> Sandbox:
    """The sandbox of what was stored."""
    reader, writer = read_source_url(reader_url), read_source_url(writer_url)
    return Sandbox(reader.schema or "", reader.password, writer.password)


async def sandbox_address(stored_url: str, admin_url: str) -> Address:
    """Where a role of a sandbox connects now. `admin_url` is SANDBOX_DATABASE_URL.

    Raises:
        DataSourceUnreachable: the server's host can't be looked up.

    """
    role = read_source_url(stored_url)
    server = read_source_url(to_libpq(admin_url))
    return await own_address(replace(server, user=role.user, password=role.password, schema=role.schema))


def _stored_url(role: str, password: str, schema: str) -> str:
    return SourceUrl("sandbox", 5432, "sandbox", role, password, schema=schema).text


async def make(url: str, sandbox: Sandbox, limits: Limits) -> None:
    """Make a sandbox, all of it or nothing. One that is there already stays as it is, so this may be repeated, also at once.

    A backup that was restored may give an id again whose sandbox is still there, with other passwords and somebody's rows:
    that one is dropped. A sandbox of a release before has no mark, and is known by letting its reader in.

    Raises:
        DataSourceUnreachable: the server does not answer.

    """
    async with admin(url) as connection, connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
        found = await (await connection.execute(_MARK, [sandbox.name])).fetchone()
        if found == (sandbox.mark,):
            return
        schema = sql.Identifier(sandbox.name)
        mark = sql.SQL("COMMENT ON SCHEMA {} IS {}").format(schema, sandbox.mark)
        if found == (None,) and await lets_in(url, f"{sandbox.name}_reader", sandbox.reader_password):
            await connection.execute(mark)
            return
        await _drop(connection, sandbox.name)
        await connection.execute(sql.SQL("CREATE SCHEMA {}").format(schema))
        await connection.execute(mark)
        await connection.execute(sql.SQL("SET LOCAL search_path TO {}, pg_catalog").format(schema))
        await connection.execute(TABLES)
        await connection.execute(ROWS)
        await connection.execute(sql.SQL("REVOKE ALL ON ALL FUNCTIONS IN SCHEMA {} FROM PUBLIC").format(schema))
        passwords = {"reader": sandbox.reader_password, "writer": sandbox.writer_password}
        for kind, on_tables, on_sequences in _RIGHTS:
            role = f"{sandbox.name}_{kind}"
            await _make_role(connection, role, passwords[kind], sandbox.name, limits, is_reader=kind == "reader")
            grants = [("ALL TABLES IN SCHEMA", on_tables)] + (
                [("ALL SEQUENCES IN SCHEMA", on_sequences)] if on_sequences else []
            )
            for objects, rights in (("SCHEMA", "USAGE"), *grants):
                grant = sql.SQL("GRANT {} ON {} {} TO {}")
                await connection.execute(grant.format(sql.SQL(rights), sql.SQL(objects), schema, sql.Identifier(role)))
    await _analyze(url, sandbox.name)


async def _make_role(
    connection: Admin, role: str, password: str, schema: str, limits: Limits, *, is_reader: bool
) -> None:
    # What stands in the statement may stand in the server's log, so it is not the password.
    verifier = connection.pgconn.encrypt_password(password.encode(), role.encode(), b"scram-sha-256").decode()
    create = sql.SQL("CREATE ROLE {} LOGIN CONNECTION LIMIT {} PASSWORD {} IN ROLE {}")
    name = sql.Identifier(role)
    await connection.execute(create.format(name, CONNECTIONS, verifier, sql.Identifier(GROUP)))
    settings = session_settings(limits, is_reader=is_reader)
    if connection.info.parameter_status("is_superuser") == "on":
        settings["temp_file_limit"] = str(limits.temp_file_bytes // 1024)
    for setting, value in settings.items():
        alter = sql.SQL("ALTER ROLE {} SET {} TO {}")
        await connection.execute(alter.format(name, sql.Identifier(setting.lower()), value))
    path = sql.SQL("ALTER ROLE {} SET search_path TO {}, pg_temp")
    await connection.execute(path.format(name, sql.Identifier(schema)))


async def _analyze(url: str, name: str) -> None:
    """Have the server count the rows, which the schema tells."""
    async with admin(url) as connection:
        for table in ("customers", "products", "orders", "order_items"):
            await connection.execute(sql.SQL("ANALYZE {}").format(sql.Identifier(name, table)))


async def drop(url: str, name: str) -> None:
    """Drop a sandbox: end its sessions, and remove its schema and its roles. One that is not there is no error.

    Raises:
        DataSourceUnreachable: the server does not answer.

    """
    async with admin(url) as connection:
        async with connection.transaction():  # committed before the sessions end, so that no others come
            await connection.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
            for role in await _roles(connection, name):
                await connection.execute(sql.SQL("ALTER ROLE {} NOLOGIN").format(sql.Identifier(role)))
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])
            await _drop(connection, name)


async def _drop(connection: Admin, name: str) -> None:
    """Drop whatever is there of a sandbox, perhaps its roles alone. Needs a transaction that has the lock."""
    roles = await _roles(connection, name)
    await connection.execute(
        "SELECT pg_terminate_backend(pid, %s) FROM pg_stat_activity WHERE usename = ANY(%s)",
        [WAIT_FOR_SESSIONS_MS, roles],
    )
    await connection.execute(sql.SQL("DROP SCHEMA IF EXISTS {} CASCADE").format(sql.Identifier(name)))
    for role in roles:
        await connection.execute(sql.SQL("DROP OWNED BY {}").format(sql.Identifier(role)))
        await connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


async def _roles(connection: Admin, name: str) -> list[str]:
    """The roles that are there of a sandbox. Read under the lock: another process may make or drop them."""
    roles = [f"{name}_reader", f"{name}_writer"]
    found = await connection.execute("SELECT rolname FROM pg_roles WHERE rolname = ANY(%s)", [roles])
    return [str(role) for (role,) in await found.fetchall()]


async def find_sandboxes(url: str, deployment: str) -> dict[int, str]:
    """The names of this deployment's sandboxes on the server, by the ids of their data sources. Of some, only roles are left.

    Raises:
        DataSourceUnreachable: the server does not answer.

    """
    prefix = prefix_of(deployment)
    async with admin(url) as connection:
        found = await connection.execute(_FIND, {"prefix": prefix})
        names = [str(name) for (name,) in await found.fetchall()]
    numbers = {name: name.removeprefix(prefix) for name in names}
    return {int(number): name for name, number in numbers.items() if number.isdecimal()}
