"""Connections to PostgreSQL, for asyncio. Safe behind PgBouncer in transaction mode: no session state, no named statements."""

import select
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any, Final

from sqlalchemy import event, make_url, text
from sqlalchemy.exc import DBAPIError, DisconnectionError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

Connection = AsyncConnection

TRANSIENT_STATES: Final = ("08", "53", "57P", "57014", "40001", "40P01", "55P03", "25006", "25P03")
"""The classes of SQLSTATE that say "not now" rather than "wrong". Source: PostgreSQL, appendix A.

57014 and 25P03 are the server's timeouts: for a statement, and for a transaction in which nothing happens.
"""
LONG_SECONDS: Final = 900
"""How long a statement may take that deletes all that somebody has."""


class Database:
    """A pool of connections. Say which is meant: one transaction, or statements that stand alone."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._is_disposed = False
        event.listen(engine.sync_engine, "checkin", self._close_if_late)

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Connection]:
        """A transaction: committed at the block's end, rolled back by an exception."""
        async with self._engine.connect() as db:
            # psycopg lets others run when the loop was busy, so this may be cancelled: the connection is then switched by half
            # and would not be switched back. An engine with this option does the same before its connection has an owner.
            async with AsyncExitStack() as unless_switched:
                unless_switched.push_async_callback(db.invalidate)
                await db.execution_options(isolation_level="READ COMMITTED")
                unless_switched.pop_all()
            async with db.begin():
                yield db

    def connect(self) -> AbstractAsyncContextManager[Connection]:
        """For statements that each stand alone: one round trip each, where a transaction takes two more."""
        return self._engine.connect()

    async def dispose(self) -> None:
        """Close all connections: those that are in use, when they are given back."""
        self._is_disposed = True
        await self._engine.dispose()

    def _close_if_late(self, _connection: Any, record: ConnectionPoolEntry) -> None:  # noqa: ANN401 - SQLAlchemy's pool events
        """Close a connection that a cancelled task gives back to a pool that is gone, which would keep it open."""
        if self._is_disposed:
            record.close()


def open_database(url: str, *, pool_size: int) -> Database:
    """A pool of at most `pool_size` connections, opened as they are needed.

    A connection that died while it lay in the pool is replaced before it is used. Waiting for a free one ends after 5 s.
    """
    engine = create_async_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=5,
        pool_recycle=1800,
        hide_parameters=True,
        isolation_level="AUTOCOMMIT",  # most statements stand alone, and switching takes longer than some of them
        skip_autocommit_rollback=True,
        connect_args=connect_arguments(
            url,
            application_name="cortexai",
            keepalives_idle=15,
            keepalives_interval=5,
            keepalives_count=3,
            tcp_user_timeout=15_000,
        ),
    )
    event.listen(engine.sync_engine, "checkout", _replace_if_dead)
    return Database(engine)


def connect_arguments(url: str, **defaults: Any) -> dict[str, Any]:  # noqa: ANN401 - psycopg's
    """What the driver is told beside the URL: no named statements, and `defaults` for what the URL does not say."""
    told = make_url(url).query
    defaults = {"connect_timeout": 5, **defaults}
    return {"prepare_threshold": None, **{name: value for name, value in defaults.items() if name not in told}}


async def allow_long_statements(db: Connection) -> None:
    """Let the statements of this transaction take longer than those of a request, which a user waits for."""
    await db.execute(text(f"SET LOCAL statement_timeout = '{LONG_SECONDS}s'"))


def _replace_if_dead(connection: Any, _record: Any, _proxy: Any) -> None:  # noqa: ANN401 - SQLAlchemy's pool events
    """Look at the socket before use: an idle connection has nothing to say but that it was closed.

    A ping would ask the server, which takes longer than most statements here.

    Raises:
        DisconnectionError: it was; the pool opens another.

    """
    driver = connection.driver_connection
    if driver.closed:  # the driver gives up a connection whose query it could not cancel
        raise DisconnectionError
    poll = select.poll()
    poll.register(driver.pgconn.socket, select.POLLIN)
    if poll.poll(0):
        raise DisconnectionError


def is_transient(error: Exception) -> bool:
    """Whether the database did not answer, or not now, as opposed to refusing what it was asked."""
    if isinstance(error, PoolTimeout | InterfaceError):
        return True
    if not isinstance(error, DBAPIError):
        return False
    state = getattr(error.orig, "sqlstate", None)
    return isinstance(error, OperationalError) and (state is None or state.startswith(TRANSIENT_STATES))
