"""The log of a generation that is over, made again from its row: for when the log has expired or was lost.

It has fewer frames than the log had, so it has offsets of its own: those of an attempt after the last one.
"""

from typing import Any

from sqlalchemy import Row

from shared.ids import GenerationId, MessageId
from shared.protocol import frames
from shared.protocol.transcript import parts_to_frames
from shared.streams.port import Entry, Offset


def rebuild(generation_id: GenerationId, message_id: MessageId, outcome: Row[Any]) -> list[Entry]:
    """The entries that say the same as the generation's log did, the terminal one last."""
    rendered = outcome.parts or [{"type": "step-start"}, *_text(outcome.content)]
    parts = [frames.start(message_id, generation_id), *parts_to_frames(rendered)]
    parts += frames.ending(
        outcome.status,
        finish_reason=outcome.finish_reason,
        error_code=outcome.error_code,
        error_message=outcome.error_message,
        usage=outcome.usage,
    )
    return [
        Entry(Offset(outcome.attempt + 1, sequence), frames.encode(part), terminal=sequence == len(parts))
        for sequence, part in enumerate(parts, start=1)
    ]


def _text(content: str) -> list[dict[str, Any]]:
    return [{"type": "text", "text": content}] if content else []
