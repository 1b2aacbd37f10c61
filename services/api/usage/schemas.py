"""Bodies of the usage route."""

from datetime import date, datetime

from services.api.fields import View


class DayUsage(View):
    """The tokens that a user's model calls took on a day (UTC), with one model, for one purpose.

    The tokens of a call that was cut off are estimates, since the model did not count them. `estimated_tokens` is how many
    of `total_tokens` are so.
    """

    day: date
    model: str
    purpose: str
    calls: int
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    estimated_tokens: int


class Today(View):
    """The tokens used since midnight (UTC), and the most that may be used. `limit` is null for no limit."""

    used: int
    limit: int | None
    resets_at: datetime


class Usage(View):
    """The tokens that a user's model calls took, newest day first."""

    today: Today
    days: list[DayUsage]
