"""A response's events as Server-Sent Events: each with its type as `event:`, and `[DONE]` at the end, as in Open Responses."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing

from services.api.doors.openai.responses.events import CREATED, IN_PROGRESS, Event
from services.api.doors.openai.responses.objects import paused, terminal_type
from services.api.doors.openai.responses.output_items import Json
from services.api.doors.openai.responses.told import GoesOn, Over, Paused, Telling, Told
from services.api.streaming.follow import Quiet
from shared.protocol import encoding
from shared.protocol.json_lines import json_line

BEFORE_ALL = -1
"""The number behind which a client begins that has nothing."""


def encode_event(event: Event) -> bytes:
    """The bytes of an event."""
    return f"event: {event.type}\ndata: {json_line(event.to_json())}\n\n".encode()


async def encode(
    told: Telling,
    begun: Json,
    after: int | None,
    find_end: Callable[[Over], Awaitable[Json]],
    leave: Callable[[], None],
) -> AsyncGenerator[bytes, None]:
    """The body of a response's stream past a number; None where it begins when `GoesOn` is told.

    `find_end` is asked for the whole response once it is over. `leave` is called when the client leaves before. The terminal
    event always comes, but to who had it. Where the client has more than there is now, it comes behind that: a cancelled answer
    has lost its last characters where Redis lost them.

    Raises:
        StreamCut: as `tell`.

    """
    is_over, sent = False, after
    try:
        # A comment, so that there are bytes at once.
        yield encoding.PING + (b"" if after is None else _opening(begun, after))
        async with aclosing(told):
            async for one in told:
                match one:
                    case Told():
                        sent = one.events[-1].number
                        yield b"".join(map(encode_event, one.events))
                    case Quiet():
                        yield encoding.PING
                    case GoesOn(output):
                        yield _opening({**begun, "output": output}, BEFORE_ALL)
                    case Paused(number, output):
                        is_over = True
                        yield _end(_number_of_end(number, after, sent), paused(begun, output))
                    case Over():
                        is_over, response = True, await find_end(one)
                        yield _end(_number_of_end(one.number, after, sent), response)
    finally:
        if not is_over:
            leave()


def _opening(begun: Json, after: int) -> bytes:
    events = (
        Event(CREATED, "response.created", {"response": begun}),
        Event(IN_PROGRESS, "response.in_progress", {"response": begun}),
    )
    return b"".join(encode_event(event) for event in events if event.number > after)


def _number_of_end(number: int, after: int | None, sent: int | None) -> int | None:
    """The number of the last event, behind all that was `sent` and that the client has; None for who has it already."""
    if number == after == sent:
        return None
    return number if sent is None else max(number, sent + 1)


def _end(number: int | None, response: Json) -> bytes:
    if number is None:
        return encoding.DONE
    return encode_event(Event(number, terminal_type(response["status"]), {"response": response})) + encoding.DONE
