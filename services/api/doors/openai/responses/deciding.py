"""From answers to requests for approval to decisions on operations. The answer that asked goes on: it is the same response."""

import asyncio
from collections.abc import Collection, Mapping
from typing import Any, Final, NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import aliased

from services.api.doors.openai.responses import queries
from services.api.doors.openai.responses.destinations import find_conversation
from services.api.doors.openai.responses.ids import generation_of
from services.api.doors.openai.responses.objects import DEFAULTS, ResponseRow
from services.api.doors.openai.responses.output_items import Json
from services.api.doors.openai.responses.schemas import NewResponse
from services.api.limits import Limits
from shared.database.engine import Connection, Database
from shared.database.tables import Generation, Operation
from shared.errors import (
    ApprovalNotPending,
    OperationNotFound,
    OperationNotPending,
    ParameterNotSupported,
    ResponseNotFound,
)
from shared.ids import GenerationId, OperationId, UserId
from shared.jobs.sender import JobSender
from shared.operations.decisions import approve, expire, refuse
from shared.operations.moves import Moved
from shared.operations.telling import tell_all
from shared.operations.wanted import AWAITS_PERSON
from shared.states import GenerationStatus
from shared.streams.feed.publisher import FeedPublisher

PAUSED_WITHIN: Final = 5.0
"""Seconds for which a generation that has proposed something is looked at, until it waits."""
LOOK_FIRST: Final = 0.02
LOOK_LAST: Final = 0.5
"""Seconds between two looks, at first and at most: the row is a moment behind the log, or its worker is in trouble."""
_FIXED: Final = (
    "instructions", "metadata", "store", "max_output_tokens", "temperature", "top_p", "presence_penalty",
    "frequency_penalty", "tools", "tool_choice", "parallel_tool_calls", "truncation", "text.format", "reasoning.effort",
)  # fmt: skip
"""What a response was asked with, besides its model, and goes on with."""


class Asked(NamedTuple):
    """An operation that an answer has proposed."""

    id: OperationId
    generation_id: GenerationId
    digest: str
    status: str


async def find_asking(
    db: Connection, user_id: UserId, body: NewResponse, operation_ids: Collection[OperationId], limits: Limits
) -> tuple[list[Asked], ResponseRow]:
    """The operations that a request decides, and the response that has proposed them and goes on.

    Raises:
        ApprovalNotPending: as `find_asked`; or the request names another response or conversation.
        ResponseNotFound, ConversationNotFound: the one that it names is absent, or another user's.
        ParameterNotSupported: it asks for something else than the response was asked with.

    """
    previous, chat_id = None, None
    if body.previous_response_id is not None:
        previous = generation_of(body.previous_response_id)
        try:
            await queries.find_response(db, user_id, previous)
        except ResponseNotFound:
            raise ResponseNotFound("previous_response_id: names no response", field="previous_response_id") from None
    if body.conversation_id is not None:
        chat_id = await find_conversation(db, user_id, body.conversation_id)
    asked = await find_asked(db, user_id, operation_ids)
    row = await queries.find_response(db, user_id, asked[0].generation_id)
    if previous not in {None, row.id} or chat_id not in {None, row.chat_id}:
        raise ApprovalNotPending
    _insist_on_same(body, row, limits)
    return asked, row


def _insist_on_same(body: NewResponse, row: ResponseRow, limits: Limits) -> None:
    """Refuse what a response was not asked with. A default asks for nothing: clients set a `tool_choice` back to `auto`.

    Raises:
        ParameterNotSupported: there is such a parameter; the error names it.

    """
    why = "differs from what the response was asked with, which goes on as it is; leave it out"
    models = {row.asked.get("model"), row.model} - {None}
    if models and body.model not in models:
        raise ParameterNotSupported("model", why)
    defaults = {**DEFAULTS, "temperature": limits.temperature}
    given, asked, default = (_flat({**defaults, **one}) for one in (body.told(), row.asked, {}))
    for name in _FIXED:
        if given[name] not in (default[name], asked[name]):
            raise ParameterNotSupported(name, why)


def _flat(told: Mapping[str, Any]) -> Json:
    """What is told of a request, by the names of its parameters."""
    return {**told, "text.format": told["text"]["format"], "reasoning.effort": told["reasoning"]["effort"]}


async def find_asked(db: Connection, user_id: UserId, operation_ids: Collection[OperationId]) -> list[Asked]:
    """These operations, decided or not: another device may have been quicker.

    Raises:
        ApprovalNotPending: no answer of the user's has proposed one of them, or not the same answer has proposed all of them.

    """
    statement = select(Operation.id, Operation.generation_id, Operation.digest, Operation.status).where(
        Operation.user_id == user_id,
        Operation.id.in_(operation_ids),
        Operation.generation_id.is_not(None),
        Operation.call_id.is_not(None),
    )
    found = [Asked._make(row) for row in await db.execute(statement)]
    if len(found) < len(operation_ids) or len({one.generation_id for one in found}) != 1:
        raise ApprovalNotPending
    return found


async def decide(
    database: Database,
    jobs: JobSender,
    feed: FeedPublisher,
    user_id: UserId,
    asked: Collection[Asked],
    decisions: Mapping[OperationId, bool],
    by: str,
) -> None:
    """Decide all operations, or none. What was decided in the same way stays so, and what has expired counts as refused.

    OpenAI's protocol has no place for the digest of the preview that the person saw. A preview never changes, so the operation's
    id names it as well. `by` is the kind of the credential.

    Raises:
        ApprovalNotPending: one was decided otherwise, or has expired and can't be approved; or its answer is over.
        TokenInvalid: the account is gone.

    """
    moves = list[Moved]()
    try:
        async with database.begin() as db:
            for one in asked:
                if decisions[one.id]:
                    moves.append(await approve(db, user_id, one.id, one.digest, by))
                elif one.status != "expired":
                    # Past its time it expires now, and not only when the sweep comes by.
                    moves.append(await expire(db, user_id, one.id) or await refuse(db, user_id, one.id, by))
    except (OperationNotPending, OperationNotFound) as error:
        raise ApprovalNotPending from error
    tell_all(jobs, feed, moves)


async def awaits_person(database: Database, operation_ids: Collection[OperationId]) -> bool:
    """Whether a person has to decide one of these before the answer goes on.

    The log tells of a proposal before the generation's row says that it waits. So the row is looked at until it does: whoever
    asks about the response then is told the same.
    """
    asking = aliased(Generation)  # AWAITS_PERSON looks at generations too
    statement = (
        select(asking.status)
        .join(Operation, Operation.generation_id == asking.id)
        .where(Operation.id.in_(operation_ids), AWAITS_PERSON)
        .limit(1)
    )
    clock = asyncio.get_running_loop()
    give_up_at, pause = clock.time() + PAUSED_WITHIN, LOOK_FIRST
    while True:
        async with database.connect() as db:
            status = (await db.execute(statement)).scalar_one_or_none()
        if status is None or status == GenerationStatus.AWAITING_APPROVAL or clock.time() > give_up_at:
            return status is not None
        await asyncio.sleep(pause)
        pause = min(2 * pause, LOOK_LAST)
