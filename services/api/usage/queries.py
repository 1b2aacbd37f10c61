"""The tokens of model calls, in the database."""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import BigInteger, Date, cast, func, literal, select

from services.api.usage.schemas import DayUsage, Today, Usage
from shared import usage
from shared.database.engine import Connection
from shared.database.tables import ModelCall
from shared.ids import UserId

_DAY = cast(func.timezone("UTC", ModelCall.created_at), Date)


class UsedToday(NamedTuple):
    """The tokens that a user has used since midnight (UTC), and the next midnight. `limit` is the quota, None for no limit."""

    used: int
    limit: int | None
    resets_at: datetime


async def sum_by_day(db: Connection, user_id: UserId, days: int) -> list[DayUsage]:
    """The tokens of the last `days` days (UTC), today included, by day, model and purpose; newest day first."""
    since = func.date_trunc("day", func.now(), "UTC") - func.make_interval(0, 0, 0, days - 1)
    by = (_DAY.label("day"), ModelCall.model, ModelCall.purpose)
    statement = (
        select(
            *by,
            func.count().label("calls"),
            func.sum(ModelCall.prompt_tokens).label("prompt_tokens"),
            func.sum(ModelCall.completion_tokens).label("completion_tokens"),
            func.sum(ModelCall.total_tokens).label("total_tokens"),
            func.coalesce(func.sum(ModelCall.total_tokens).filter(ModelCall.is_estimate), 0).label("estimated_tokens"),
        )
        .where(ModelCall.user_id == user_id, ModelCall.created_at >= since)
        .group_by(*by)
        .order_by(_DAY.desc(), ModelCall.model, ModelCall.purpose)
    )
    return [DayUsage.model_validate(row) for row in await db.execute(statement)]


async def find_usage(db: Connection, user_id: UserId, days: int, daily_tokens: int | None) -> Usage:
    """What a user's model calls took today and in the last `days` days. `daily_tokens` holds where the user has no own quota."""
    today = await _today(db, user_id, daily_tokens)
    return Usage(today=Today.model_validate(today), days=await sum_by_day(db, user_id, days))


async def _today(db: Connection, user_id: UserId, daily_tokens: int | None) -> UsedToday:
    midnight = func.date_trunc("day", func.now(), "UTC") + func.make_interval(0, 0, 0, 1)
    used = usage.used_today(literal(user_id)).scalar_subquery().label("used")
    limit = usage.quota_of(literal(user_id), literal(daily_tokens, BigInteger)).label("limit")
    return UsedToday._make((await db.execute(select(used, limit, midnight.label("resets_at")))).one())
