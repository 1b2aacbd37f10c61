"""Bodies of the usage route."""

from datetime import date, datetime

from services.api.fields import View


class DayUsage(View):
    """The tokens that a user's model calls took on a day (UTC), with one model, for one purpose.

    Those of a call that was cut off are estimates: the model did not say.
    """

    day: date
    model: str
    purpose: str
    calls: int
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Today(View):
    """What was used since midnight, UTC, and what may be. `limit` is null where there is none."""

    used: int
    limit: int | None
    resets_at: datetime


class Usage(View):
    """What a user's model calls took, newest day first."""

    today: Today
    days: list[DayUsage]
