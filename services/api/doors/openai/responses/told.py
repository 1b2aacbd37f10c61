"""What is told of a response while it is made, late, or from its row: events past a number, each once, until the end.

Where the log breaks off, the frames come again from the beginning (following.py). Numbers count content, so nothing is told
twice or left out. A client of OpenAI's sends decisions once nothing streams: so this ends where a person has to decide, and the
request that has the decision is told the rest.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Sequence
from contextlib import aclosing
from typing import NamedTuple

from services.api.doors.openai.following import AGAIN, QUIET, Resume, frames_of
from services.api.doors.openai.responses.events import IN_PROGRESS, EndKind, Event, ResponseEvents
from services.api.doors.openai.responses.output_items import Json
from services.api.streaming.follow import Quiet, StreamCut
from services.api.streaming.resume import Live, Saved
from shared.ids import MessageId, OperationId
from shared.protocol.encoding import decode


class Told(NamedTuple):
    """The next events, at least one."""

    events: Sequence[Event]


class GoesOn(NamedTuple):
    """What the client has is over, and what comes is new. `output` are all items so far."""

    output: Sequence[Json]


class Paused(NamedTuple):
    """The answer waits for a person's decision. `number` is free for the event that says so, `output` are all items so far."""

    number: int
    output: Sequence[Json]


class Over(NamedTuple):
    """The answer is over. `number` is the terminal event's, `output` are all items."""

    kind: EndKind
    number: int
    output: Sequence[Json]


Telling = AsyncGenerator[Told | GoesOn | Paused | Over | Quiet, None]
AwaitsPerson = Callable[[Sequence[OperationId]], Awaitable[bool]]
"""Whether a person has to decide one of these before the answer goes on."""


class Reader(NamedTuple):
    """What a client has: all up to the number `after`; and where it has `answered` requests for approval, all up to these.

    In the second case, `GoesOn` is told first.
    """

    after: int = IN_PROGRESS
    answered: Collection[str] = ()


async def tell(
    reply_id: MessageId, stream: Saved | Live, resume: Resume, awaits_person: AwaitsPerson, reader: Reader
) -> Telling:
    """What is told of a response to a reader. The last is `Paused` or `Over`, whatever the reader has.

    `stream` and `resume` have the answer from its beginning. Its user closes this (`contextlib.aclosing`).

    Raises:
        StreamCut: the answer can't be read any more.

    """
    maker, told, unseen = ResponseEvents(reply_id), reader.after, set(reader.answered)
    async with aclosing(frames_of(stream, resume)) as frames:
        async for frame in frames:
            if frame is QUIET:
                yield Quiet()
                continue
            if frame == AGAIN:
                maker = ResponseEvents(reply_id)
                continue
            made = (event.after(told) for event in maker.take(decode(frame)))
            events = [event for event in made if event is not None]
            if unseen:
                told = events[-1].number if events else told
                unseen -= {item["id"] for item in maker.output}
                if not unseen or maker.end is not None:
                    unseen.clear()
                    yield GoesOn(list(maker.output))
            elif events:
                told = events[-1].number
                yield Told(events)
            if maker.end is not None:
                yield Over(maker.end, maker.end_number, maker.output)
                return
            if maker.asked and await awaits_person(maker.asked):
                yield Paused(maker.number, maker.output)
                return
    raise StreamCut("log_without_end")
