"""The last event of a response's stream: every reader gets it once, behind all that the reader has."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from services.api.doors.openai.responses.encoder import encode
from services.api.doors.openai.responses.events import Event
from services.api.doors.openai.responses.told import Over, Telling, Told
from shared.protocol.encoding import DONE

DELTA = Event(21, "response.output_text.delta", {"output_index": 0}, "t1 t2 t3 t4 t5 t")


async def told(*events: Event, end: int) -> Telling:
    """Events, and the end under this number."""
    if events:
        yield Told(events)
    yield Over("cancelled", end, [])


async def numbers(telling: Telling, after: int) -> list[tuple[str, int]]:
    """The type and the number of each event that a reader gets who has all up to `after`."""

    async def find_end(_: Over) -> dict[str, Any]:
        return {"status": "cancelled", "output": []}

    body: AsyncIterator[bytes] = encode(telling, {"output": []}, after, find_end, lambda: None)
    lines = b"".join([piece async for piece in body])
    assert lines.endswith(DONE)
    events = [json.loads(line[6:]) for line in lines.splitlines() if line.startswith(b"data: {")]
    return [(event["type"], event["sequence_number"]) for event in events]


@pytest.mark.parametrize(
    ("events", "end", "after", "expected"),
    [
        pytest.param([DELTA], 24, 2, [(DELTA.type, 21), ("response.incomplete", 24)], id="all"),
        pytest.param([], 24, 21, [("response.incomplete", 24)], id="who has the text"),
        pytest.param([], 24, 24, [], id="who has all"),
        pytest.param([DELTA], 4, 2, [(DELTA.type, 21), ("response.incomplete", 22)], id="the text was lost meanwhile"),
        pytest.param([], 4, 21, [("response.incomplete", 22)], id="the text was lost before the reader came again"),
    ],
)
async def test_the_last_event_comes_behind_all_that_the_reader_has(
    events: list[Event], end: int, after: int, expected: list[tuple[str, int]]
) -> None:
    assert await numbers(told(*events, end=end), after) == expected
