"""Errors of a data source's server, as errors of this product."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import psycopg

from shared.data_sources.failures import LOST, is_lost, one_line
from shared.errors import DataSourceUnreachable, EffectChanged, StatementFailed

# A statement that ran for the preview fails now for the data's or the schema's sake: wrong values, constraints, lost races,
# exceptions that triggers raise, columns and tables that are gone, a prepared statement whose table has changed.
DATA_HAS_CHANGED: Final = ("22", "23", "40", "42P", "427", "42804", "42883", "P0", "0A")
CLOCKS: Final = {
    "55P03": "Somebody else holds a lock on these rows or on this table; nothing was changed. Try again later.",
    "57014": "The statement took too long and was stopped; nothing was changed.",
}


@contextmanager
def statement_errors() -> Iterator[None]:
    """Turn errors of the server into errors that can be told.

    Raises:
        StatementFailed: the server does not take the statement.
        DataSourceUnreachable: the connection broke.

    """
    try:
        yield
    except psycopg.Error as error:
        raise _failed(error) from error


@contextmanager
def commit_errors() -> Iterator[None]:
    """As `statement_errors`, for a statement that has run before.

    Raises:
        EffectChanged: the server does not take the statement any more.
        StatementFailed: a lock or the statement's time limit was in the way.
        DataSourceUnreachable: the connection broke. Whether COMMIT was done is for `was_committed` to tell.

    """
    try:
        yield
    except psycopg.Error as error:
        if error.sqlstate and error.sqlstate.startswith(DATA_HAS_CHANGED):
            raise EffectChanged(f"{EffectChanged.default_message()} {told(error)}") from error
        raise _failed(error) from error


def _failed(error: psycopg.Error) -> StatementFailed | DataSourceUnreachable:
    if is_lost(error):
        return DataSourceUnreachable(LOST)
    return StatementFailed(CLOCKS.get(error.sqlstate or "") or f"sql: {told(error)}", field="sql")


def told(error: psycopg.Error) -> str:
    """The server's message, on one line, bounded. No details, which quote rows."""
    return one_line(error.diag.message_primary or "The data source has refused this.")
