"""The end of a generation that its worker has brought to an end: the reply and the outcome are saved in one statement."""

from datetime import timedelta
from typing import Final, NamedTuple

from sqlalchemy import BigInteger, Boolean, Interval, Text, bindparam, cast, func, insert, literal, select, update
from sqlalchemy.sql.dml import ReturningUpdate

from shared.database.engine import Connection
from shared.database.tables import Generation, Message, ModelCall
from shared.generations.outcome import Outcome
from shared.ids import GenerationId
from shared.protocol.message_parts import MessagePart, Source
from shared.states import GenerationStatus, message_status
from shared.token_usage import ModelUsage

RUNNING = GenerationStatus.RUNNING


def _finish() -> ReturningUpdate[int]:
    ended = (
        update(Generation)
        .where(
            Generation.id == bindparam("generation"),
            Generation.attempt == bindparam("own_attempt"),
            Generation.status == RUNNING,
        )
        .values(
            status=bindparam("final_status"),
            lease_expires_at=None,
            finished_at=func.now(),
            finish_reason=bindparam("final_reason"),
            error_code=bindparam("final_error"),
            error_message=bindparam("final_error_message"),
            usage=bindparam("final_usage"),
            model=func.coalesce(Generation.model, bindparam("final_model")),
            first_token_at=func.coalesce(
                Generation.first_token_at, func.now() - cast(bindparam("first_token_ago"), Interval)
            ),
        )
        .returning(Generation.id, Generation.user_id, Generation.chat_id, Generation.assistant_message_id)
        .cte("ended")
    )
    taken = ("prompt_tokens", "completion_tokens", "total_tokens")
    call = insert(ModelCall).from_select(
        ("user_id", "chat_id", "generation_id", "purpose", "model", *taken, "is_estimate"),
        select(
            ended.c.user_id,
            ended.c.chat_id,
            ended.c.id,
            literal("generation"),
            bindparam("call_model", type_=Text),
            *(bindparam(f"call_{name}", type_=BigInteger) for name in taken),
            bindparam("call_is_estimate", type_=Boolean),
        ).where(bindparam("call_model", type_=Text).is_not(None)),
    )
    return (
        update(Message)
        .where(Message.id == ended.c.assistant_message_id)
        .values(
            content=bindparam("final_content"),
            status=bindparam("final_message_status"),
            usage=bindparam("final_usage"),
            parts=bindparam("final_parts"),
            sources=bindparam("final_sources"),
        )
        .returning(Message.id)
        .add_cte(call.cte("call"))
    )


_FINISH: Final = _finish()


class FinishedReply(NamedTuple):
    """A reply as its worker leaves it. `parts` is None for plain text, `sources` where there are none."""

    content: str
    parts: list[MessagePart] | None = None
    sources: list[Source] | None = None


async def finish(
    db: Connection,
    generation_id: GenerationId,
    attempt: int,
    outcome: Outcome,
    reply: FinishedReply,
    *,
    model: str | None = None,
    last_call: ModelUsage | None = None,
    first_token_ago: timedelta | None = None,
) -> bool:
    """End the generation that this attempt has and save its reply, in one statement: both or neither.

    `model` is the name that the row keeps, unless the row has one. `last_call` is the newest model call, which no row has yet.
    `first_token_ago` is how long ago this attempt's first token came; an earlier one that a pause has saved stays. Returns
    False when another attempt has the generation, or the generation is gone.
    """
    taken = last_call.usage if last_call else None
    values = {
        "generation": generation_id,
        "own_attempt": attempt,
        "final_status": outcome.status,
        "final_reason": outcome.finish_reason,
        "final_error": outcome.error_code,
        "final_error_message": outcome.error_message,
        "final_usage": outcome.usage.to_row() if outcome.usage else None,
        "final_model": model,
        "first_token_ago": first_token_ago,
        "final_content": reply.content,
        "final_message_status": message_status(outcome.status),
        "final_parts": reply.parts,
        "final_sources": reply.sources,
        "call_model": last_call.model if last_call else None,
        "call_prompt_tokens": taken.prompt_tokens if taken else None,
        "call_completion_tokens": taken.completion_tokens if taken else None,
        "call_total_tokens": taken.total_tokens if taken else None,
        "call_is_estimate": last_call.is_estimate if last_call else None,
    }
    return (await db.execute(_FINISH, values)).one_or_none() is not None
