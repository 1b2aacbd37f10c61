"""What a test says to the running Groq double, and asks of it. `base_url` is what `start_groq_double` yields."""

import asyncio
import http.client
import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict
from urllib.parse import urlencode, urlsplit


class Captured(TypedDict):
    """One request that the double got; its fields are told by `tests.doubles.groq.state.Record`."""

    number: int
    arrived_at: float
    arrived_monotonic: float
    headers: dict[str, str]
    body: Any
    user_text: str
    outcome: str
    tokens_sent: int
    ended_at: float | None


class ControlFailed(AssertionError):
    """The double refused a control request, or what was waited for did not happen in time."""


async def reset(base_url: str) -> None:
    """Forget requests, scripts, gates and counts."""
    await asyncio.to_thread(call, base_url, "POST", "/control/reset", {})


async def script(
    base_url: str,
    behaviour: str = "",
    *,
    times: int = 1,
    marker: str = "",
    anywhere: bool = False,
    reply: str | None = None,
    arguments: Mapping[str, object] | Sequence[Mapping[str, object]] | None = None,
    purpose: Literal["answer", "title", "summary", "search"] | None = None,
    events: Sequence[object] | None = None,
) -> None:
    """Queue a behaviour (in the words of a directive) for the next `times` requests that no earlier script takes.

    `marker`: only those whose last user message contains it, or with `anywhere` any of their messages. `reply`: say
    exactly this. `arguments`: those of the tool call; of several calls, a list. `purpose`: only requests for this.
    `events`: the whole stream, event by event; a text is sent as it is, anything else as JSON.
    """
    asked = {"times": times, "marker": marker, "anywhere": anywhere, "purpose": purpose}
    said = {"behaviour": behaviour, "reply": reply, "arguments": arguments, "events": events}
    await asyncio.to_thread(call, base_url, "POST", "/control/script", {**asked, **said})


async def release(base_url: str, gate: str) -> None:
    """Open a gate, for the requests that are held there (`hold=<gate>`) and for later ones."""
    await asyncio.to_thread(call, base_url, "POST", "/control/release", {"gate": gate})


async def requests(
    base_url: str, *, containing: str = "", arrived: int = 0, ended: int = 0, held: int = 0, within: float = 10
) -> list[Captured]:
    """Return the chat requests since the last reset, oldest first, once so many have arrived, ended and are held.

    `containing` counts only those whose last user message contains it. The last 1,000 requests are remembered.

    Raises:
        ControlFailed: it did not happen `within` so many seconds (at most 60).

    """
    wanted = {"containing": containing, "arrived": arrived, "ended": ended, "held": held, "within": within}
    captured: list[Captured] = await asyncio.to_thread(
        call, base_url, "GET", f"/control/requests?{urlencode(wanted)}", None, within + 5
    )
    return captured


def call(base_url: str, method: str, path: str, body: object = None, within: float = 10) -> Any:  # noqa: ANN401
    """Make one control request, blocking; returns its JSON.

    Raises:
        ControlFailed: the answer was not 200.

    """
    connection = http.client.HTTPConnection(urlsplit(base_url).netloc, timeout=within)
    try:
        connection.request(method, path, None if body is None else json.dumps(body))
        response = connection.getresponse()
        answer = response.read()
        if response.status != http.client.OK:
            raise ControlFailed(f"{method} {path}: {response.status} {answer.decode()}")
        return json.loads(answer)
    finally:
        connection.close()
