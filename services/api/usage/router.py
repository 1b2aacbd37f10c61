"""The tokens that a user's model calls took."""

from typing import Annotated

from fastapi import APIRouter, Query

from services.api.bodies import JsonRoute
from services.api.dependencies import AppResources, CurrentPrincipal
from services.api.fields import Digits
from services.api.usage import queries
from services.api.usage.schemas import Usage

router = APIRouter(route_class=JsonRoute, prefix="/api/usage", tags=["usage"])

Days = Annotated[int, Query(ge=1, le=366, description="How many days."), Digits]


@router.get("")
async def get_usage(
    principal: CurrentPrincipal,
    resources: AppResources,
    days: Days = 30,
) -> Usage:
    """The tokens of the user's answers, searches, summaries and titles, by day, model and purpose, and those of today."""
    async with resources.database.connect() as db:
        return await queries.find_usage(db, principal.user_id, days, resources.limits.daily_tokens)
