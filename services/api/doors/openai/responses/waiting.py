"""Waiting for the end of a response whose client asked for no stream."""

from collections.abc import Awaitable, Callable
from contextlib import aclosing

from starlette.requests import Request

from services.api.doors.openai.responses.output_items import Json
from services.api.doors.openai.responses.told import Over, Paused, Telling
from services.api.doors.openai.whole import wait_while_asked
from services.api.streaming.follow import StreamCut

FindEnd = Callable[[Over], Awaitable[Json]]
FindPaused = Callable[[Paused], Json]


async def wait_for_end(
    request: Request, told: Telling, find_end: FindEnd, find_paused: FindPaused, within: float
) -> Json | None:
    """The response at its end, or where a person has to decide. None when the client has left. `within` is in seconds.

    Raises:
        CompletionTimedOut, StreamsUnavailable, Unauthenticated: as `wait_while_asked`.

    """
    return await wait_while_asked(request, _end_of(told, find_end, find_paused), within)


async def _end_of(told: Telling, find_end: FindEnd, find_paused: FindPaused) -> Json:
    async with aclosing(told):
        async for one in told:
            if isinstance(one, Over):
                return await find_end(one)
            if isinstance(one, Paused):
                return find_paused(one)
    raise StreamCut("log_without_end")
