"""Times that the database's clock tells. The clocks of processes may differ."""

from datetime import timedelta
from typing import Any

from sqlalchemy import Interval, cast, func, literal
from sqlalchemy.sql.elements import ColumnElement


def interval(length: timedelta) -> ColumnElement[Any]:
    """A length of time, as a value in a statement."""
    return cast(literal(length), Interval)


def from_now(after: timedelta) -> ColumnElement[Any]:
    """The moment so long after the transaction's begin."""
    return func.now() + interval(after)
