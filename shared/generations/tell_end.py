"""Telling a user's readers how a generation ended."""

from typing import Final

from shared.generations.outcome import Outcome
from shared.ids import ChatId, GenerationId, MessageId, UserId
from shared.protocol.feed_events import generation_status
from shared.streams.feed.publisher import FeedPublisher

TOLD_WITHIN: Final = 0.5
"""Seconds that a generation's end waits for the feed. Later, the publisher goes on in the background."""


async def tell_end(
    feed: FeedPublisher,
    user_id: UserId,
    chat_id: ChatId,
    generation_id: GenerationId,
    message_id: MessageId,
    outcome: Outcome,
) -> None:
    """Tell the end, and wait a short time until the feed has it. Never raises. `message_id` is the reply's.

    Belongs before the row says that the log is closed: after a death in between, the sweep closes the log, and tells the end
    again.
    """
    feed.tell(user_id, generation_status(chat_id, generation_id, message_id, outcome.status, outcome.error_code))
    await feed.flush(TOLD_WITHIN)
