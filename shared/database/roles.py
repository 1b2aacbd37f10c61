"""The rights of the application's role: it reads and changes rows, and no more. The migrations' role gives them to it.

Sources: PostgreSQL's manual, chapter 5.8 (Privileges), ALTER DEFAULT PRIVILEGES, ALTER ROLE.
"""

import contextlib
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg import errors, sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from shared.database_timeouts import Timeouts
from shared.database_urls import to_libpq

Admin = psycopg.Connection[Any]

LOCK: Final = 0x5A9D_B0C6
"""The advisory lock of those who change rights. Two at once would fail: `tuple concurrently updated`."""
CONNECT_SECONDS: Final = 5
READ_ONLY: Final = ("alembic_version",)
APPEND_ONLY: Final = ("audit_log", "admin_acts")
"""Rows of the first go with their account: the server deletes those with the rights of the table's owner."""
_GIVE: Final = (
    "GRANT CONNECT ON DATABASE {database} TO {role}",
    "GRANT USAGE ON SCHEMA {schema} TO {role}",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {role}",
    "GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO {role}",
    "ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {role}",
    "ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT USAGE ON SEQUENCES TO {role}",
    *(f"REVOKE INSERT, UPDATE, DELETE ON {table} FROM {{role}}" for table in READ_ONLY),
    *(f"REVOKE UPDATE, DELETE ON {table} FROM {{role}}" for table in APPEND_ONLY),
    "REVOKE CREATE ON SCHEMA {schema} FROM PUBLIC, {role}",
    "REVOKE CREATE, TEMPORARY ON DATABASE {database} FROM PUBLIC, {role}",
)
_TOO_MUCH: Final = """
SELECT rolsuper, rolcreaterole OR rolcreatedb OR rolreplication OR rolbypassrls,
    has_schema_privilege(current_schema(), 'CREATE')
    OR EXISTS (SELECT FROM pg_catalog.pg_class WHERE relowner = r.oid AND relnamespace = current_schema()::regnamespace)
FROM pg_catalog.pg_roles AS r WHERE rolname = current_user
"""


@dataclass(frozen=True, slots=True)
class Account:
    """A role's name and password."""

    name: str
    password: str


def account_of(url: str) -> Account:
    """The account in a URL. Both parts are empty where it names none."""
    found = conninfo_to_dict(to_libpq(url))
    return Account(str(found.get("user") or ""), str(found.get("password") or ""))


def connect_admin(url: str, **others: str) -> Admin:
    """A connection as the migrations' role, autocommitting. `others` wins over the URL.

    Raises:
        psycopg.Error: the server does not answer, or refuses.

    """
    conninfo = make_conninfo(to_libpq(url), **others)
    return psycopg.connect(conninfo, autocommit=True, prepare_threshold=None, connect_timeout=CONNECT_SECONDS)


def make_role(admin: Admin, account: Account) -> bool:
    """Make a role that can log in with this password, unless there is one. Returns whether the role is as it should be.

    It may not be where somebody else has made it, and this role may not change it.

    A role with another password gets this one; one that lets the account in stays as it is, since a pooler may keep its
    verifier. Needs a transaction that has the lock.

    Raises:
        psycopg.Error: the server refuses.

    """
    name = sql.Identifier(account.name)
    # What stands in the statement may stand in the server's log, so it is not the password.
    verifier = admin.pgconn.encrypt_password(
        account.password.encode(), account.name.encode(), b"scram-sha-256"
    ).decode()
    find = "SELECT rolsuper, rolcanlogin FROM pg_catalog.pg_roles WHERE rolname = %s"
    found = admin.execute(find, [account.name]).fetchone()
    try:
        with admin.transaction():
            if found is None:
                admin.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(name, verifier))
            elif not found[0] and not (found[1] and _lets_in(admin, account)):
                admin.execute(sql.SQL("ALTER ROLE {} LOGIN PASSWORD {}").format(name, verifier))
    except errors.InsufficientPrivilege:
        if found is None:
            raise
        return False
    return True


def owns_tables(admin: Admin, role: str) -> bool:
    """Whether a role owns tables of the schema: then it can't have fewer rights than an owner."""
    owned = (
        "SELECT EXISTS (SELECT FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_roles AS r ON r.oid = c.relowner"
        " WHERE r.rolname = %s AND c.relnamespace = current_schema()::regnamespace)"
    )
    return bool(admin.execute(owned, [role]).fetchall()[0][0])


def give_back(admin: Admin, role: str) -> None:
    """Give a role that owns the tables the rights of an owner again, some of which a release before took away."""
    for table in (*READ_ONLY, *APPEND_ONLY):
        with contextlib.suppress(errors.InsufficientPrivilege), admin.transaction():
            admin.execute(sql.SQL("GRANT ALL ON {} TO {}").format(sql.Identifier(table), sql.Identifier(role)))


def _lets_in(admin: Admin, account: Account) -> bool:
    """Whether the server takes the account, wherever it may connect to."""
    where = make_conninfo(admin.info.dsn, user=account.name, password=account.password)
    try:
        psycopg.connect(where, connect_timeout=CONNECT_SECONDS).close()
    except psycopg.OperationalError as error:
        return not is_wrong_password(error)
    return True


def is_wrong_password(error: psycopg.OperationalError) -> bool:
    """Whether a server has refused a connection because of its account or password. The driver has no other word for it."""
    return "authentication failed" in str(error)


def give_rights(admin: Admin, role: str, timeouts: Timeouts) -> bool:
    """Let a role change rows of the application's tables, also of those that later migrations make. May be repeated.

    Returns whether its time limits are set, which takes a right over the role.

    Raises:
        psycopg.Error: the server refuses.

    """
    ((database, schema),) = admin.execute("SELECT current_database(), current_schema()").fetchall()
    names = {
        "database": sql.Identifier(database),
        "schema": sql.Identifier(schema),
        "role": sql.Identifier(role),
    }
    for statement in _GIVE:
        admin.execute(sql.SQL(statement).format(**names))
    settings = {
        "statement_timeout": timeouts.statement,
        "lock_timeout": timeouts.lock,
        "idle_in_transaction_session_timeout": timeouts.idle,
    }
    # By the role, since a pooler passes on no options of a connection.
    try:
        with admin.transaction():
            for setting, seconds in settings.items():
                alter = sql.SQL("ALTER ROLE {role} IN DATABASE {database} SET {setting} TO {value}")
                admin.execute(alter.format(**names, setting=sql.Identifier(setting), value=f"{seconds}s"))
    except errors.InsufficientPrivilege:
        return False
    return True


def excess(connection: Admin) -> str | None:
    """What the role of a connection may do beyond changing rows, in words; None for a role as it should be.

    Raises:
        psycopg.Error: the server does not answer.

    """
    ((is_superuser, makes_roles, changes_schema),) = connection.execute(_TOO_MUCH).fetchall()
    if is_superuser:
        return "is a superuser"
    if makes_roles:
        return "may make roles or databases, or passes by rules"
    return "may change the schema" if changes_schema else None
