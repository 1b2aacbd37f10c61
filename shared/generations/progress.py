"""What a running attempt saves on its way: its steps, and the text so far."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, Text, Update, Uuid, bindparam, func, select, update
from sqlalchemy.sql.dml import ReturningUpdate

from shared.database.tables import Chat, Generation, Message
from shared.ids import ChatId, GenerationId
from shared.states import GenerationStatus, MessageStatus

Json = dict[str, Any]
RUNNING = GenerationStatus.RUNNING


def save_steps(generation_id: GenerationId, attempt: int, steps: list[Json]) -> ReturningUpdate[UUID]:
    """Save the steps of the generation that this attempt has. Returns no row when another attempt has the generation."""
    return (
        update(Generation)
        .where(Generation.id == generation_id, Generation.attempt == attempt, Generation.status == RUNNING)
        .values(steps=steps)
        .returning(Generation.id)
    )


def forget_parts(generation_id: GenerationId, attempt: int) -> Update:
    """Forget the parts that a pause has saved of a reply. Its log has them all, and soon more.

    Whoever closes the log keeps parts that are saved (close_log.py).
    """
    own = select(Generation.assistant_message_id).where(
        Generation.id == generation_id, Generation.attempt == attempt, Generation.status == RUNNING
    )
    pending = update(Message).where(Message.id == own.scalar_subquery(), Message.status == MessageStatus.PENDING)
    return pending.values(parts=None, sources=None)


def note_rows(chat_id: ChatId) -> Update:
    """Note that a chat has rows of a user's database. From then on, a person approves what reaches outside."""
    return update(Chat).where(Chat.id == chat_id, ~Chat.has_rows).values(has_rows=True)


def checkpoint(replies: Sequence[tuple[GenerationId, int, str]]) -> Update:
    """Save what (generation, attempt) pairs have written of their replies so far.

    Those that are over, or another attempt's, are left alone, and so are those that somebody is changing this moment.
    """
    ids, attempts, contents = zip(*replies, strict=True)
    written = (
        func.unnest(
            bindparam("ids", ids, ARRAY(Uuid)),
            bindparam("attempts", attempts, ARRAY(BigInteger)),
            bindparam("contents", contents, ARRAY(Text)),
        )
        .table_valued("id", "attempt", "content")
        .render_derived(name="written")
    )
    own = (
        select(Message.id, written.c.content)
        .join(Generation, Generation.assistant_message_id == Message.id)
        .join(written, (written.c.id == Generation.id) & (written.c.attempt == Generation.attempt))
        # The message's own status too: it is read again once the row is locked, and an end sets it with the generation's.
        .where(Generation.status == RUNNING, Message.status == MessageStatus.PENDING)
        .where(func.length(Message.content) <= func.length(written.c.content))
        .with_for_update(skip_locked=True, of=Message)
        .cte("own")
    )
    return update(Message).where(Message.id == own.c.id).values(content=own.c.content)
