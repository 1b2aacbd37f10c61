"""What is said of a data source's failures: plain, on one line, and nothing of hosts, passwords or our own network."""

import re
from typing import Final

import psycopg
from psycopg import errors

from shared.data_sources.limits import Limits
from shared.errors import CortexAIError, DataSourceUnreachable, StatementFailed

MAX_CHARS: Final = 500
NO_ANSWER: Final = "The data source does not answer in time."
NOT_UNDERSTOOD: Final = "The data source does not answer as PostgreSQL does."
LOST: Final = "The connection to the data source was lost."
REFUSALS: Final = (
    ("authentication failed", "The data source refuses the user or the password."),
    ("no password supplied", "The data source refuses the user or the password."),
    ("pg_hba.conf", "The data source does not let this user in from here, or not without TLS."),
    ("does not exist", "The data source knows no such user or database."),
    ("permission denied for database", "The user may not connect to this database."),
    ("not permitted to log in", "This role may not log in."),
    ("does not support SSL", "The data source offers no TLS, without which no connection is made."),
    ("certificate", "The data source's certificate can't be verified."),
    ("root certificate", "The data source's certificate can't be verified."),
    ("SSL error", "No TLS connection to the data source can be made."),
    ("too many connections", "The data source has too many connections."),
    ("too many clients", "The data source has too many connections."),
    ("remaining connection slots", "The data source has too many connections."),
    ("starting up", "The data source is just starting."),
    ("shutting down", "The data source is shutting down."),
)
"""Phrases of PostgreSQL, its client and its poolers, and what is said instead."""


def not_connected(error: Exception) -> DataSourceUnreachable:
    """The error of a connection that could not be made."""
    if isinstance(error, TimeoutError | errors.ConnectionTimeout):
        return DataSourceUnreachable(NO_ANSWER)
    said = str(error)
    return DataSourceUnreachable(next((plain for words, plain in REFUSALS if words in said), None))


def translate(error: psycopg.Error, limits: Limits, *, shift: int = 0) -> CortexAIError:
    """The error of something that ran on an open connection.

    `shift` is how many characters were put before the statement: the server counts the place of a mistake from there.
    """
    diagnosis = error.diag
    message = diagnosis.message_primary
    if message is None or is_lost(error):
        return DataSourceUnreachable(LOST)
    match error:
        case errors.QueryCanceled():
            return too_slow(limits)
        case errors.LockNotAvailable():
            return StatementFailed(
                f"The statement waited longer than {limits.lock_seconds:g} s for a lock.", field="sql"
            )
        case _:
            pass
    position = diagnosis.statement_position or ""
    place = int(position) - shift if re.fullmatch("[0-9]{1,9}", position) else 0
    said = [
        message,
        f"(at character {place})" if place > 0 else "",
        f"Hint: {diagnosis.message_hint}" if diagnosis.message_hint else "",
    ]
    return StatementFailed(one_line(" ".join(part for part in said if part)), field="sql")


def is_lost(error: psycopg.Error) -> bool:
    """Whether the connection is lost, and not a statement refused."""
    return error.sqlstate is None or error.sqlstate.startswith(("08", "57P"))


def too_slow(limits: Limits) -> StatementFailed:
    """The error of a statement that was stopped."""
    return StatementFailed(
        f"The statement took longer than {limits.statement_seconds:g} s and was stopped.", field="sql"
    )


def one_line(text: str) -> str:
    """A text of a server's, without line ends and control characters, and cut."""
    line = "".join(char if char.isprintable() else " " for char in text)
    line = " ".join(line.split())
    return line if len(line) <= MAX_CHARS else f"{line[: MAX_CHARS - 1]}…"
