"""Alembic's environment. The database is the config's attribute `database_url`, else the setting DATABASE_URL.

Each migration is a transaction of its own, and may leave it (`autocommit_block`) for what takes long. A migration that waits
for a table's lock makes all later statements on that table wait too. So no migration waits long: it is tried again.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from alembic import context
from alembic.util import CommandError
from psycopg.errors import DeadlockDetected, LockNotAvailable
from sqlalchemy import Connection, Engine, create_engine, event, pool
from sqlalchemy.exc import OperationalError

from shared.database.engine import connect_arguments
from shared.database.tables import Base
from shared.settings import DatabaseSettings

KEY: Final = 0x636F7274_65786169  # "cortexai": two migrations at once wait for each other
POLL_SECONDS: Final = 0.2
LOCK_MS: Final = 2_000
"""A migration waits so many milliseconds for the lock of a table. The config's attribute `lock_ms` says otherwise."""
LOCK_TRIES: Final = 10
"""How often the lock is waited for. The config's attribute `lock_tries` says otherwise."""
PAUSE_SECONDS: Final = 3.0
"""Between two tries, those who waited behind the migration have their turn."""
LOCKED: Final = (
    "a table stayed locked: end the transactions that are open for long (see pg_stat_activity), and try again"
)


def run() -> None:
    """Run the migrations that the command asks for, one at a time, unless another process is at it: then after that one.

    Raises:
        CommandError: a table stayed locked. What was migrated until then stays so.

    """
    url = context.config.attributes.get("database_url") or DatabaseSettings.load().migration_url
    tries = context.config.attributes.get("lock_tries", LOCK_TRIES)
    engine = create_engine(url, poolclass=pool.NullPool, connect_args=connect_arguments(url))
    try:
        with _alone(engine):
            event.listen(engine, "begin", _wait_no_longer)
            while not _has_run(engine):
                tries -= 1
                if not tries:
                    raise CommandError(LOCKED)
                time.sleep(PAUSE_SECONDS)
    finally:
        engine.dispose()


def _has_run(engine: Engine) -> bool:
    """Run the migrations that are left. False when a table was locked, or a request and a migration waited for each other."""
    with engine.connect() as connection:
        context.configure(
            connection=connection,
            target_metadata=Base.metadata,
            compare_server_default=True,
            transaction_per_migration=True,
        )
        try:
            context.run_migrations()
        except OperationalError as error:
            if isinstance(error.orig, LockNotAvailable | DeadlockDetected):
                return False
            raise
    return True


@contextmanager
def _alone(engine: Engine) -> Iterator[None]:
    """Hold the advisory lock, by a connection of its own: that of the migrations commits now and then.

    The lock is asked for again and again. One statement that waits would have a snapshot, and an index that is built
    concurrently waits until older snapshots are gone: the two would wait for each other. For the same reason the statement
    has no parameters: the driver sends it by the simple protocol, and its snapshot ends with it.
    """
    with engine.connect() as connection, connection.begin():
        connection.exec_driver_sql("SET LOCAL idle_in_transaction_session_timeout = 0")
        while not connection.exec_driver_sql(f"SELECT pg_try_advisory_xact_lock({KEY})").scalar():
            time.sleep(POLL_SECONDS)
        yield


def _wait_no_longer(connection: Connection) -> None:
    """Bound the wait for locks in each transaction. Outside of transactions only what blocks nobody is done."""
    if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
        milliseconds = int(context.config.attributes.get("lock_ms", LOCK_MS))
        connection.exec_driver_sql(f"SET LOCAL lock_timeout = {milliseconds}")


run()
