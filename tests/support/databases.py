"""Databases that go from test to test."""

from typing import Final

import psycopg
from psycopg import sql

from services.launcher.embedded.postgres import USER
from shared.database.roles import Account

APP: Final = Account("tests_app", "a-password")
"""The role of the system that is tested. Tests themselves are the superuser, who can look and change behind its back."""


_OF_RUN: Final = "/test_"


def as_app(url: str) -> str:
    """The URL of one of the test run's databases, for the role of the system. Another URL stays as it is.

    Servers that a test starts for itself have no such role; their database is not called as those of the test run.
    """
    scheme, _, rest = url.partition("://")
    account, at, place = rest.rpartition("@")
    return (
        f"{scheme}://{APP.name}:{APP.password}{at}{place}"
        if account.startswith(f"{USER}:") and _OF_RUN in place
        else url
    )


# What a test may have changed besides rows. Not the counters that a vacuum writes.
SHAPE: Final = """
SELECT md5(concat_ws('|',
    (SELECT string_agg(version_num, ',') FROM alembic_version),
    (SELECT string_agg(concat_ws(' ', relname, relkind, relowner, relacl::text, reloptions::text), ',' ORDER BY oid)
     FROM pg_class WHERE relnamespace = 'public'::regnamespace),
    (SELECT string_agg(concat_ws(' ', attrelid::regclass, attname, atttypid, atttypmod, attnotnull, attisdropped,
                                 attacl::text), ',' ORDER BY attrelid, attnum)
     FROM pg_attribute JOIN pg_class c ON c.oid = attrelid WHERE relnamespace = 'public'::regnamespace),
    (SELECT string_agg(pg_get_expr(adbin, adrelid), ',' ORDER BY oid) FROM pg_attrdef),
    (SELECT string_agg(pg_get_constraintdef(oid), ',' ORDER BY oid)
     FROM pg_constraint WHERE connamespace = 'public'::regnamespace),
    (SELECT string_agg(concat_ws(' ', pg_get_indexdef(indexrelid), indisvalid), ',' ORDER BY indexrelid)
     FROM pg_index JOIN pg_class c ON c.oid = indexrelid WHERE relnamespace = 'public'::regnamespace),
    (SELECT string_agg(concat_ws(' ', tgname, tgrelid::regclass, tgenabled), ',' ORDER BY oid) FROM pg_trigger),
    (SELECT string_agg(concat_ws(' ', proname, prosrc), ',' ORDER BY oid)
     FROM pg_proc WHERE pronamespace = 'public'::regnamespace),
    (SELECT string_agg(concat_ws(' ', nspname, nspowner, nspacl::text), ',' ORDER BY oid)
     FROM pg_namespace WHERE nspname !~ '^pg_'),
    (SELECT string_agg(setconfig::text, ',' ORDER BY setrole) FROM pg_db_role_setting
     WHERE setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()))
       AND setrole IN (0, current_user::regrole)),  -- sandboxes' roles have settings of their own
    (SELECT concat_ws(' ', datallowconn, datconnlimit, datacl::text, datdba)
     FROM pg_database WHERE datname = current_database())
))
"""
OTHERS: Final = (
    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)
LARGE_BYTES: Final = 65_536
USED_TABLES: Final = f"""
SELECT relname, pg_relation_size(oid) > {LARGE_BYTES} OR reltuples >= 0 FROM pg_class
WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND relname <> 'alembic_version' AND pg_relation_size(oid) > 0
"""  # noqa: S608 - a constant of ours
"""The tables that have had rows. Those with many pages, or with statistics, get new files, which takes 5 ms each."""
RESTART: Final = (
    "SELECT setval(format('public.%I', sequencename)::regclass, start_value, false) FROM pg_sequences"
    " WHERE schemaname = 'public' AND last_value IS NOT NULL"
)


def shape(connection: psycopg.Connection) -> str:
    """What a database is besides its rows. A test that changes its schema or its rules changes that."""
    ((found,),) = connection.execute(SHAPE.encode()).fetchall()
    return str(found)


def emptied(url: str, new: str) -> bool:
    """Empty a database, for the next test. Returns whether it is as a new one, whose `shape` is `new`."""
    try:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(OTHERS.encode())
            if shape(connection) != new:
                return False
            connection.execute("SET session_replication_role = replica")  # the audit log refuses it otherwise
            for name, is_large in connection.execute(USED_TABLES.encode()).fetchall():
                statement = "TRUNCATE {} CASCADE" if is_large else "DELETE FROM {}"
                connection.execute(sql.SQL(statement).format(sql.Identifier(name)))
            connection.execute(RESTART.encode())
    except psycopg.Error:
        return False  # a test has refused connections, for example
    return True


def number_users(url: str, before: int) -> None:
    """Have the next users' ids begin behind this one."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SELECT setval(pg_get_serial_sequence('users', 'id'), %s)", [before])
