"""What model calls took, in the database."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Date, Row, cast, func, literal, select

from services.api.usage.schemas import DayUsage
from shared import usage
from shared.database.engine import Connection
from shared.database.tables import ModelCall
from shared.ids import UserId

_DAY = cast(func.timezone("UTC", ModelCall.created_at), Date)


async def sum_by_day(db: Connection, user_id: UserId, days: int) -> list[DayUsage]:
    """The user's calls of the last so many days, today included, summed by day, model and purpose."""
    since = func.date_trunc("day", func.now(), "UTC") - func.make_interval(0, 0, 0, days - 1)
    by = (_DAY.label("day"), ModelCall.model, ModelCall.purpose)
    statement = (
        select(
            *by,
            func.count().label("calls"),
            func.sum(ModelCall.prompt_tokens).label("prompt_tokens"),
            func.sum(ModelCall.completion_tokens).label("completion_tokens"),
            func.sum(ModelCall.total_tokens).label("total_tokens"),
        )
        .where(ModelCall.user_id == user_id, ModelCall.created_at >= since)
        .group_by(*by)
        .order_by(_DAY.desc(), ModelCall.model, ModelCall.purpose)
    )
    rows: Sequence[Row[*tuple[Any, ...]]] = (await db.execute(statement)).all()
    return [DayUsage.model_validate(row) for row in rows]


async def today(db: Connection, user_id: UserId) -> Row[int, datetime]:
    """(used, resets_at): the tokens since midnight, UTC, and the next midnight."""
    midnight = func.date_trunc("day", func.now(), "UTC") + func.make_interval(0, 0, 0, 1)
    used = usage.used_today(literal(user_id)).scalar_subquery().label("used")
    return (await db.execute(select(used, midnight.label("resets_at")))).one()
