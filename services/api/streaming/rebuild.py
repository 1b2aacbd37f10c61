"""The log of a generation that is over, made again from its row, for when the log has expired or was lost.

The rebuilt log has fewer frames than the log had, so it has offsets of its own: those of an attempt after the last one.
"""

from typing import Any

from services.api.generations.queries import SavedReply
from shared.ids import GenerationId, MessageId
from shared.protocol import frames
from shared.protocol.transcript import parts_to_frames
from shared.streams.port import Entry, Offset


def rebuild(generation_id: GenerationId, message_id: MessageId, reply: SavedReply) -> list[Entry]:
    """Entries that render the same message as the generation's log did. The last one is terminal."""
    rendered = reply.parts or [{"type": "step-start"}, *_text(reply.content)]
    parts = [frames.start(message_id, generation_id), *parts_to_frames(rendered)]
    parts += frames.ending(
        reply.status,
        finish_reason=reply.finish_reason,
        error_code=reply.error_code,
        error_message=reply.error_message,
        usage=reply.usage,
    )
    return [
        Entry(Offset(reply.attempt + 1, sequence), frames.encode(part), terminal=sequence == len(parts))
        for sequence, part in enumerate(parts, start=1)
    ]


def _text(content: str) -> list[dict[str, Any]]:
    return [{"type": "text", "text": content}] if content else []
