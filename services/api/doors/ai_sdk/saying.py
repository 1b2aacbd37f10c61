"""From what useChat sends to a turn: which message of which chat is meant, and whether it is said, changed or repeated."""

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from services.api.doors.ai_sdk import queries
from services.api.doors.ai_sdk.asked import Asked
from services.api.doors.ai_sdk.queries import FoundMessage
from services.api.limits import Limits
from services.api.turns.accept import accept
from services.api.turns.limits import check_message
from services.api.turns.new_versions import accept_edit, accept_regeneration
from services.api.turns.turn import Edit, NewTurn, OnVersionConflict, Regeneration
from shared.database.engine import Database
from shared.errors import ChatNotFound, CortexAIError, InvalidInput, MessageNameTaken, TooBusy
from shared.ids import ChatId, GenerationId, MessageId, UserId
from shared.jobs.sender import JobSender
from shared.protocol.feed_events import chat_created, chat_deleted
from shared.streams.redis import Streams
from shared.telemetry.metrics import Metrics

TRIES: Final = 5
"""How often others may be quicker: delete the chat between two looks at it, or take the message's name."""


@dataclass(frozen=True, slots=True)
class Answering:
    """The generation that answers the client's message. `is_new`: this request has asked for it."""

    generation_id: GenerationId
    reply_id: MessageId
    is_new: bool


async def say(
    database: Database,
    streams: Streams,
    jobs: JobSender,
    metrics: Metrics,
    limits: Limits,
    user_id: UserId,
    asked: Asked,
) -> Answering:
    """Do what a client asks for. A chat of a name that the user has not used yet is made.

    Raises:
        InvalidInput: another version can't wait behind what is generated.
        CortexAIError: as `turns.accept.accept` and `turns.new_versions.accept_edit`.

    """
    check_message(asked.content, asked.model, limits)  # before a chat is made for it
    for _ in range(TRIES):
        chat_id, made_at = await _open_chat(database, user_id, asked.chat_id)
        if made_at is not None:
            streams.feed.tell(user_id, chat_created(chat_id, None, made_at, temporary=False))
        try:
            return await _say_in(chat_id, database, streams, jobs, metrics, limits, user_id, asked)
        except CortexAIError as error:
            if made_at is not None:
                async with database.connect() as db:
                    is_deleted = await queries.delete_unused_chat(db, user_id, chat_id)
                if is_deleted:
                    streams.feed.tell(user_id, chat_deleted(chat_id))
            # Another message has got the name a moment ago: what is asked for is an edit of that one, or its answer.
            if not isinstance(error, ChatNotFound | MessageNameTaken):
                raise
    raise TooBusy


async def _open_chat(database: Database, user_id: UserId, name: str) -> tuple[ChatId, datetime | None]:
    """The user's chat of this name, and its time if it was made now. Of two requests at the same time, one makes it."""
    async with database.connect() as db:
        for _ in range(TRIES):
            if found := await queries.find_chat(db, user_id, name):
                return found, None
            if made := await queries.add_chat(db, user_id, name):
                return made
    raise TooBusy


async def _say_in(
    chat_id: ChatId,
    database: Database,
    streams: Streams,
    jobs: JobSender,
    metrics: Metrics,
    limits: Limits,
    user_id: UserId,
    asked: Asked,
) -> Answering:
    found = await _find_message(database, user_id, chat_id, asked)
    # A client's name is unique in its chat, so a message that has it is the one that is meant, whatever is to be done.
    if found is not None and found.content == asked.content and _is_repeated(asked, found):
        return Answering(found.generation_id, found.reply_id, is_new=False)
    key = _key(chat_id, asked, found)
    options: dict[str, Any] = {"model": asked.model, "time_zone": asked.time_zone, "key": key}
    if found is None:
        new = NewTurn(user_id, chat_id, asked.content, asked.on_conflict, client_id=asked.message_id, **options)
        turn = await accept(database, streams, jobs, metrics, limits, new)
    elif found.content == asked.content:
        again = Regeneration(user_id, chat_id, found.id, _without_waiting(asked), **options)
        turn = await accept_regeneration(database, streams, jobs, metrics, limits, again)
    else:
        edit = Edit(
            user_id,
            chat_id,
            found.id,
            asked.content,
            _without_waiting(asked),
            client_id=asked.message_id,
            **options,
        )
        turn = await accept_edit(database, streams, jobs, metrics, limits, edit)
    return Answering(turn.generation_id, turn.assistant_message_id, is_new=not turn.is_repeated)


def _is_repeated(asked: Asked, found: FoundMessage) -> bool:
    """Whether what is asked for has been done, so that its answer is streamed again. The message has the text already.

    While the newest answer is made, another answer instead of an earlier one is the one that is made, and so is the answer
    to an edit that has come already: the request has come twice, as after a timeout.
    """
    if not asked.is_regeneration and asked.target_id is None:
        return True
    if asked.is_regeneration and asked.target_id in (None, asked.message_id, str(found.reply_id)):
        return False
    return found.is_open


async def _find_message(database: Database, user_id: UserId, chat_id: ChatId, asked: Asked) -> FoundMessage | None:
    """The message that is meant: by its own name, else by the name of what is to be edited or answered anew."""
    async with database.connect() as db:
        if found := await queries.find_message(db, user_id, chat_id, asked.message_id):
            return found
        if asked.target_id is None or asked.target_id == asked.message_id:
            return None
        return await queries.find_target(db, user_id, chat_id, asked.target_id)


def _without_waiting(asked: Asked) -> OnVersionConflict:
    if asked.on_conflict == "enqueue":
        raise InvalidInput("on_conflict: must be reject or interrupt for another version", field="on_conflict")
    return asked.on_conflict


def _key(chat_id: ChatId, asked: Asked, found: FoundMessage | None) -> str:
    """The key under which a request that is repeated at the same time is found.

    The same message in another chat, with another text, or instead of another reply has another key.
    """
    trigger = "regenerate" if asked.is_regeneration else "submit"
    named = [chat_id, trigger, asked.message_id, asked.content, found.reply_id if found else None]
    return f"ai-sdk:{hashlib.sha256(json.dumps(named).encode()).hexdigest()}"
