"""Opening an attempt: the opening fences off every earlier attempt; only then is their log read. Source: docs/protocol.md §1."""

from shared.errors import AppendRefused
from shared.ids import GenerationId
from shared.protocol.encoding import encode
from shared.protocol.frames import Frame
from shared.streams.port import BEGINNING, Append, Log, Writer


async def open_attempt(
    writer: Writer, stream_log: Log, generation_id: GenerationId, attempt: int, opening: Frame
) -> list[bytes]:
    """Append an attempt's first frame. Returns the log's frames up to and with it. May be repeated.

    Raises:
        AppendRefused: a later attempt has opened the log, or it is closed.
        StreamsUnavailable: nothing is known.

    """
    frame = encode(opening)
    (answer,) = await writer.append([Append(generation_id, attempt, None, (frame,))])
    if isinstance(answer, AppendRefused):
        raise answer
    return [frame] if answer == 1 else await read_log(stream_log, generation_id)


async def read_log(stream_log: Log, generation_id: GenerationId) -> list[bytes]:
    """All frames of a log.

    Raises:
        StreamsUnavailable: the log can't be read now.

    """
    written: list[bytes] = []
    reached = BEGINNING
    while entries := await stream_log.replay(generation_id, reached):
        written += [entry.frame for entry in entries]
        reached = entries[-1].offset
    return written
