"""What model calls took: one row for each, which outlives its chat, so that deleting one gives no tokens back."""

from typing import Literal

from sqlalchemy import ColumnElement, Insert, Select, func, insert, select

from shared.database.tables import ModelCall
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
