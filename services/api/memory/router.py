"""What is remembered of a chat's beginning: look at it, correct it, have it made anew."""

from typing import Any

from fastapi import APIRouter, status
from sqlalchemy import Row

from services.api.dependencies import CurrentUser, Held
from services.api.fields import BigIntId
from services.api.memory import queries
from services.api.memory.schemas import Fact, Memory, MemoryChange
from shared.errors import MemoryTooLarge
from shared.ids import ChatId
from shared.memory.facts import Fact as KeptFact
from shared.memory.facts import read_facts, write_facts

router = APIRouter(
    prefix="/api/chats/{chat_id}/memory", tags=["memory"], responses={404: {"description": "chat_not_found"}}
)


@router.get("")
async def get_memory(chat_id: BigIntId, user_id: CurrentUser, held: Held) -> Memory:
    """The summary and the facts that stand for the chat's older messages."""
    async with held.database.connect() as db:
        return _view(await queries.find_memory(db, user_id, ChatId(chat_id)))


@router.patch(
    "", responses={409: {"description": "memory_changed"}, 422: {"description": "validation_failed, memory_too_large"}}
)
async def change_memory(chat_id: BigIntId, body: MemoryChange, user_id: CurrentUser, held: Held) -> Memory:
    """Correct the summary, or correct, add, remove and pin facts."""
    if len(body.summary or "") > held.settings.summary_max_chars:
        raise MemoryTooLarge("summary", held.settings.summary_max_chars, "characters")
    if len(body.facts or ()) > held.settings.facts_max:
        raise MemoryTooLarge("facts", held.settings.facts_max, "facts")
    values: dict[str, Any] = {}
    if "summary" in body.model_fields_set:
        values["summary"] = body.summary or None
    if "facts" in body.model_fields_set:
        facts = [KeptFact(fact.text, fact.position, fact.pinned) for fact in body.facts or ()]
        values["facts"] = write_facts(facts)
    async with held.database.connect() as db:
        changed = await queries.change_memory(db, user_id, ChatId(chat_id), values, body.version)
    held.queue.summarize(ChatId(chat_id))  # whoever folded at this moment has to begin again
    return _view(changed)


@router.delete("", status_code=status.HTTP_204_NO_CONTENT)
async def restart_memory(chat_id: BigIntId, user_id: CurrentUser, held: Held) -> None:
    """Forget the summary and what is not pinned, and make both anew from the messages."""
    async with held.database.connect() as db:
        await queries.restart_memory(db, user_id, ChatId(chat_id), held.settings.history_window)
    held.queue.summarize(ChatId(chat_id))


def _view(row: Row[Any]) -> Memory:
    facts = [Fact(text=fact.text, position=fact.position, pinned=fact.pinned) for fact in read_facts(row.facts)]
    return Memory(summary=row.summary, facts=facts, watermark=row.watermark, pending=row.pending, version=row.version)
