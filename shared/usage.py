"""What model calls took: one row for each, which outlives its chat, so that deleting one gives no tokens back."""

from typing import Literal

from sqlalchemy import BigInteger, ColumnElement, Insert, Select, case, cast, func, insert, select

from shared.database.tables import ModelCall, User
from shared.ids import ChatId, GenerationId, UserId
from shared.token_usage import ModelUsage

Purpose = Literal["generation", "search", "summary", "title"]


def record(
    user_id: UserId,
    purpose: Purpose,
    call: ModelUsage,
    *,
    chat_id: ChatId | None = None,
    generation_id: GenerationId | None = None,
) -> Insert:
    """Note what a model call took."""
    return insert(ModelCall).values(
        user_id=user_id,
        chat_id=chat_id,
        generation_id=generation_id,
        purpose=purpose,
        model=call.model,
        prompt_tokens=call.usage.prompt_tokens,
        completion_tokens=call.usage.completion_tokens,
        total_tokens=call.usage.total_tokens,
        is_estimate=call.is_estimate,
    )


def used_today(user_id: ColumnElement[int]) -> Select[int]:
    """The tokens of a user's calls since midnight, UTC, by the database's clock."""
    midnight = func.date_trunc("day", func.now(), "UTC")
    return select(func.coalesce(func.sum(ModelCall.total_tokens), 0)).where(
        ModelCall.user_id == user_id, ModelCall.created_at >= midnight
    )


def quota_of(user_id: ColumnElement[int], default: ColumnElement[int]) -> ColumnElement[int]:
    """How many tokens a user may spend a day: the user's own quota, else `default`. NULL for no bound."""
    own = select(User.daily_tokens).where(User.id == user_id).scalar_subquery()
    return func.coalesce(own, default)


def left_today(user_id: ColumnElement[int], default: ColumnElement[int]) -> ColumnElement[int]:
    """How many tokens of a user's quota are left today; less than 0 where more were spent. NULL for no bound."""
    quota = quota_of(user_id, default)
    used = used_today(user_id).scalar_subquery()
    # Nothing is summed up where there is no bound.
    return case((quota.is_(None), None), else_=quota - cast(used, BigInteger))
