"""The tokens that a user's model calls took."""

from typing import Annotated

from fastapi import APIRouter, Query

from services.api.bodies import JsonRoute
from services.api.dependencies import AppResources, CurrentPrincipal
from services.api.fields import Digits
from services.api.usage import queries
from services.api.usage.schemas import Today, Usage

router = APIRouter(route_class=JsonRoute, prefix="/api/usage", tags=["usage"])


@router.get("")
async def get_usage(
    principal: CurrentPrincipal,
    resources: AppResources,
    days: Annotated[int, Query(ge=1, le=366, description="How many days."), Digits] = 30,
) -> Usage:
    """The tokens of the user's answers, searches, summaries and titles, by day, model and purpose, and those of today."""
    async with resources.database.connect() as db:
        today = await queries.today(db, principal.user_id)
        by_day = await queries.sum_by_day(db, principal.user_id, days)
    return Usage(
        today=Today(used=today.used, limit=resources.limits.daily_tokens, resets_at=today.resets_at), days=by_day
    )
