"""The current date and time in a time zone, as a tool."""

from datetime import UTC, datetime
from typing import Annotated, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, Field, StringConstraints

from services.worker.tools.port import Tool, ToolFailure, ToolResult

DESCRIPTION: Final = "The current date and time in a time zone."
NOTICE: Final = "The current date and time, as JSON.\n"
NO_SUCH_ZONE: Final = "There is no such time zone."
TIMEOUT: Final = 2.0


class Place(BaseModel):
    """Where it is asked for."""

    time_zone: Annotated[
        str, StringConstraints(max_length=64), Field(description="An IANA time zone, such as Europe/Berlin.")
    ]


def current_time() -> Tool[Place]:
    """The tool."""
    return Tool(name="current_time", description=DESCRIPTION, arguments=Place, call=_tell, timeout=TIMEOUT)


async def _tell(place: Place, _call_id: str) -> ToolResult | ToolFailure:
    try:
        zone = ZoneInfo(place.time_zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ToolFailure("invalid_arguments", NO_SUCH_ZONE, NO_SUCH_ZONE + " Call it again with an IANA name.")
    now = datetime.now(UTC).astimezone(zone)
    answer = {"time_zone": place.time_zone, "time": now.isoformat(timespec="seconds"), "weekday": now.strftime("%A")}
    return ToolResult(records=[answer], shown=answer, notice=NOTICE)
