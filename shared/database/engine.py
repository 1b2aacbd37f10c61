"""Connections to PostgreSQL, for asyncio. Safe behind PgBouncer in transaction mode: no session state, no named statements."""

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

Database = AsyncEngine
Connection = AsyncConnection

# Beyond NetworkError and shutdown, the classes of SQLSTATE that say "not now" rather than "wrong": PostgreSQL, appendix A.
TRANSIENT_STATES = ("08", "53", "57P", "40001", "40P01", "55P03", "25006")


def open_database(url: str, *, pool_size: int) -> Database:
    """A pool of at most `pool_size` connections, opened as they are needed.

    A connection that died while it lay in the pool is replaced before it is used. Waiting for a free one ends after 5 s.
    """
    return create_async_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=5,
        pool_pre_ping=True,
        pool_recycle=1800,
        hide_parameters=True,
        connect_args={
            "prepare_threshold": None,
            "connect_timeout": 5,
            "application_name": "cortexai",
            "keepalives_idle": 15,
            "keepalives_interval": 5,
            "keepalives_count": 3,
            "tcp_user_timeout": 15_000,
        },
    )


def is_transient(error: Exception) -> bool:
    """Whether the database did not answer, or not now, as opposed to refusing what it was asked."""
    if isinstance(error, PoolTimeout | InterfaceError):
        return True
    if not isinstance(error, DBAPIError):
        return False
    state = getattr(error.orig, "sqlstate", None)
    return isinstance(error, OperationalError) and (state is None or state.startswith(TRANSIENT_STATES))
