"""What a test says to the running Tavily double, and asks of it. `base_url` is what `start_tavily_double` yields."""

import asyncio
from typing import Any, TypedDict
from urllib.parse import urlencode

from tests.doubles.groq_control import call


class Searched(TypedDict):
    """One search that the double got; its fields are told by `tests.doubles.tavily.state.Record`."""

    number: int
    connection: int
    arrived_at: float
    headers: dict[str, str]
    body: Any
    query: str
    outcome: str
    sent_bytes: int
    ended_at: float | None


async def reset(base_url: str) -> None:
    """Forget searches, scripts, gates and counts."""
    await asyncio.to_thread(call, base_url, "POST", "/control/reset", {})


async def script(base_url: str, behaviour: str = "", *, times: int = 1, marker: str = "") -> None:
    """Queue a behaviour (in the words of a directive) for the next `times` searches that no earlier script takes.

    `marker`: only those whose query contains it.
    """
    wanted = {"behaviour": behaviour, "times": times, "marker": marker}
    await asyncio.to_thread(call, base_url, "POST", "/control/script", wanted)


async def release(base_url: str, gate: str) -> None:
    """Open a gate, for the searches that are held there (`hold=<gate>`) and for later ones."""
    await asyncio.to_thread(call, base_url, "POST", "/control/release", {"gate": gate})


async def searches(
    base_url: str, *, containing: str = "", arrived: int = 0, ended: int = 0, held: int = 0, within: float = 10
) -> list[Searched]:
    """Return the searches since the last reset, oldest first, once so many have arrived, ended and are held.

    `containing` counts only those whose query contains it. The last 1,000 are remembered.

    Raises:
        ControlFailed: it did not happen `within` so many seconds (at most 60).

    """
    wanted = {"containing": containing, "arrived": arrived, "ended": ended, "held": held, "within": within}
    found: list[Searched] = await asyncio.to_thread(
        call, base_url, "GET", f"/control/requests?{urlencode(wanted)}", None, within + 5
    )
    return found
