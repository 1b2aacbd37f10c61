"""The log of a generation that is over, made again from its row: for when the log has expired or was lost.

It has fewer frames than the log had, so it has offsets of its own: those of an attempt after the last one.
"""

from services.api.generations.queries import EndedGeneration
from shared.ids import GenerationId, MessageId
from shared.protocol import frames
from shared.protocol.catch_up import parts_to_frames
from shared.protocol.encoding import encode
from shared.protocol.message_parts import MessagePart
from shared.streams.port import Entry, Offset


def rebuild(generation_id: GenerationId, message_id: MessageId, ended: EndedGeneration) -> list[Entry]:
    """The entries that say the same as the generation's log did, the terminal one last."""
    parts = ended.parts or _plain(ended.content)
    rebuilt = [frames.start(message_id, generation_id), *parts_to_frames(parts), *ended.outcome.frames()]
    return [
        Entry(Offset(ended.attempt + 1, sequence), encode(frame), terminal=sequence == len(rebuilt))
        for sequence, frame in enumerate(rebuilt, start=1)
    ]


def _plain(content: str) -> list[MessagePart]:
    """The parts of a message that is plain text."""
    step: MessagePart = {"type": "step-start"}
    text: MessagePart = {"type": "text", "text": content}
    return [step, text] if content else [step]
