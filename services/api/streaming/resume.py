"""Attaching a client to a generation's frames: decided before the response starts, since a stream can't change its status."""

from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

from fastapi import Response, status
from sqlalchemy import Row
from sse_starlette import EventSourceResponse

from services.api.doors.native import event_ids
from services.api.generations import queries
from services.api.generations.queries import GenerationState
from services.api.resources import Resources
from services.api.streaming.follow import FollowedGeneration, relay
from services.api.streaming.rebuild import rebuild
from shared.errors import GenerationNotFound
from shared.generations.turn_order import reopen
from shared.ids import GenerationId, MessageId
from shared.protocol import encoding
from shared.states import TERMINAL
from shared.streams.port import BEGINNING, Entry, Offset
from shared.telemetry.logs import get_logger

log = get_logger(__name__)

SEND_TIMEOUT: Final = 10.0
"""Seconds that a client may refuse to take bytes before it is cut off."""


async def attach(resources: Resources, row: Row[Any], last_event_id: str | None) -> Response:
    """The frames of a generation past what the client has, or 204 when it has them all.

    An event id of another message, or of no frame in the log, can't be honoured: the client is told to begin anew, and
    gets it all again.
    """
    generation_id, message_id = GenerationId(row.id), MessageId(row.assistant_message_id)
    has = event_ids.read(last_event_id, message_id)
    if has is not None and has == Offset(row.attempt, row.final_sequence or 0):
        return _nothing()
    head = await resources.streams.reader.head(generation_id)
    if head is None and row.status in TERMINAL:
        return await _from_row(resources, generation_id, message_id, has, anew=bool(last_event_id))
    if head is not None and head.terminal and has == head.offset:
        return _nothing()
    if head is not None and not head.terminal and row.closed_at is not None:
        await _reopen(resources, generation_id)
    after = await _known(resources, generation_id, has)
    return stream(resources, generation_id, message_id, after, anew=bool(last_event_id) and after == BEGINNING)


async def attach_unless_seen(resources: Resources, row: Row[Any], last_event_id: str | None) -> Response:
    """The same for a chat's newest generation; 204 when that is over and was read live, or is only in the row."""
    if row.status in TERMINAL and event_ids.read(last_event_id, MessageId(row.assistant_message_id)) is None:
        head = await resources.streams.reader.head(GenerationId(row.id))
        if head is None or (head.terminal and head.had_subscriber):
            return _nothing()
    return await attach(resources, row, last_event_id)


def stream(
    resources: Resources, generation_id: GenerationId, message_id: MessageId, after: Offset, *, anew: bool = False
) -> Response:
    """The response that relays a generation's log past an offset; `anew` tells the client to forget what it has."""

    async def state() -> GenerationState | None:
        async with resources.database.connect() as db:
            return await queries.find_state(db, generation_id)

    async def reopen() -> None:
        await _reopen(resources, generation_id)

    async def position() -> int | None:
        return await resources.queue_positions.position(generation_id)

    source = FollowedGeneration(generation_id, message_id, resources.streams.reader, state, reopen, position)
    return _respond(relay(source, after, anew=anew), generation_id, message_id)


async def _reopen(resources: Resources, generation_id: GenerationId) -> None:
    """Redis has lost the end of a log that was closed. The sweep writes it again, and the stream goes on."""
    log.warning("log_end_lost", generation_id=str(generation_id))
    async with resources.database.connect() as db:
        await db.execute(reopen(generation_id))


async def _known(resources: Resources, generation_id: GenerationId, has: Offset | None) -> Offset:
    """The offset to go on from: the client's, if the log has just that frame."""
    if has is None:
        return BEGINNING
    found = await resources.streams.reader.replay(generation_id, Offset(has.attempt, has.sequence - 1), limit=1)
    return has if found and found[0].offset == has else BEGINNING


async def _from_row(
    resources: Resources, generation_id: GenerationId, message_id: MessageId, has: Offset | None, *, anew: bool
) -> Response:
    """The log is gone, the row is not."""
    async with resources.database.connect() as db:
        ended = await queries.find_ended(db, generation_id)
    if ended is None:
        raise GenerationNotFound
    entries = rebuild(generation_id, message_id, ended)
    if has == entries[-1].offset:
        return _nothing()
    known = [entry.offset for entry in entries]
    if has is not None and has in known:
        entries, anew = entries[known.index(has) + 1 :], False
    return _respond(_at_once(message_id, entries, anew=anew), generation_id, message_id)


async def _at_once(message_id: MessageId, entries: Sequence[Entry], *, anew: bool) -> AsyncIterator[bytes]:
    yield encoding.OPENING + (encoding.RESET if anew else b"")
    yield b"".join(event_ids.write(message_id, entry.offset) + entry.frame for entry in entries) + encoding.DONE


def _respond(body: AsyncIterator[bytes], generation_id: GenerationId, message_id: MessageId) -> Response:
    return EventSourceResponse(
        body,
        ping=0,  # the relay's own, from one timer for all streams
        send_timeout=SEND_TIMEOUT,
        headers={
            "Cache-Control": "no-cache, no-transform",
            "x-vercel-ai-ui-message-stream": "v1",
            "X-Message-Id": str(message_id),
            "X-Generation-Id": str(generation_id),
        },
    )


def _nothing() -> Response:
    """There is nothing (more) to stream. An SSE client does not connect again after a 204 (HTML standard, 9.2)."""
    return Response(status_code=status.HTTP_204_NO_CONTENT)
