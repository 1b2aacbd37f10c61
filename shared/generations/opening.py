"""The first frame of an attempt at a generation."""

from typing import Protocol

from shared.ids import ChatId, GenerationId, MessageId
from shared.protocol import frames
from shared.protocol.frames import Start


class Turn(Protocol):
    """Where a generation belongs: a row of it."""

    @property
    def chat_id(self) -> ChatId:
        """The chat."""
        ...

    @property
    def user_message_id(self) -> MessageId:
        """The question."""
        ...

    @property
    def assistant_message_id(self) -> MessageId:
        """The reply."""
        ...


def opening(generation_id: GenerationId, turn: Turn) -> Start:
    """The frame, for the generation that makes the turn's reply."""
    return frames.start(
        turn.assistant_message_id, generation_id, user_message_id=turn.user_message_id, chat_id=turn.chat_id
    )
