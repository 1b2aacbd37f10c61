"""The log of a generation that is over, made again from its row, for when the log has expired or was lost.

The rebuilt log has fewer frames than the log had, so it has offsets of its own: those of an attempt after the last one.
"""

from services.api.generations.queries import EndedGeneration, GenerationRow
from shared.generations.opening import opening
from shared.protocol.catch_up import parts_to_frames
from shared.protocol.encoding import encode_all
from shared.protocol.message_parts import ended_parts, plain_parts
from shared.streams.port import Entry, Offset


def rebuild(generation: GenerationRow, ended: EndedGeneration) -> list[Entry]:
    """Entries that render the same message as the generation's log did. The last one is terminal."""
    parts = ended_parts(ended.parts or plain_parts(ended.content))
    rebuilt = encode_all([opening(generation.id, generation), *parts_to_frames(parts), *ended.outcome.frames()])
    return [
        Entry(Offset(ended.attempt + 1, sequence), frame, terminal=sequence == len(rebuilt))
        for sequence, frame in enumerate(rebuilt, start=1)
    ]
