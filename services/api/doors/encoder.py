"""The encoder of doors that stream the log as it is: a stream's events as Server-Sent Events. Source: docs/protocol.md §2.

A frame in the log is already the bytes of an SSE event, so the encoder only puts the frame's `id:` line before it.
"""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing

from services.api import event_ids
from services.api.streaming.follow import FollowedGeneration, InQueue, Logged, StreamEvent, Transient, follow
from services.api.streaming.resume import Live, Saved
from shared.ids import MessageId
from shared.protocol import encoding, frames
from shared.streams.port import BEGINNING, Entry, Offset

Events = Callable[[FollowedGeneration, Offset], AsyncGenerator[StreamEvent, None]]
"""What is told of a generation: `follow`, or what a door makes of that."""


async def encode(
    stream: Saved | Live, message_id: MessageId, *, reset: bool, events: Events = follow
) -> AsyncGenerator[bytes, None]:
    """The body of a stream. `reset` tells the client to forget what it has of this message.

    The body of a live stream ends with the `events`, which may be before the terminal frame.

    Raises:
        StreamCut: the stream can't go on here.

    """
    # A client that is cut off before the first frame has something to resume from.
    begun = event_ids.write(message_id, BEGINNING) if stream.after == BEGINNING else b""
    yield encoding.OPENING + begun + (encoding.RESET if reset else b"")
    if isinstance(stream, Saved):
        yield _encode_entries(message_id, stream.entries)
        return
    tells_title, is_done = stream.generation.title is not None, False
    async with aclosing(events(stream.generation, stream.after)) as told:
        async for event in told:
            if isinstance(event, Logged):  # nearly every event is one, and a match statement takes longer
                is_done = not tells_title and event.entries[-1].terminal
                yield _encode_entries(message_id, event.entries, is_whole=not tells_title)
            elif isinstance(event, Transient):
                yield b"".join(event.frames)
            elif isinstance(event, InQueue):
                yield _encode_position(event.position)
            else:
                yield encoding.PING
    if not is_done:
        yield encoding.DONE


def _encode_entries(message_id: MessageId, entries: Sequence[Entry], *, is_whole: bool = True) -> bytes:
    """The entries' bytes. `is_whole`: nothing comes behind the terminal one."""
    encoded = b"".join([event_ids.write(message_id, entry.offset) + entry.frame for entry in entries])
    return encoded + encoding.DONE if is_whole and entries[-1].terminal else encoded


def _encode_position(position: int) -> bytes:
    status: frames.StatusData = {"status": "queued", "position": position} if position else {"status": "waiting"}
    return encoding.encode(frames.status(status))
