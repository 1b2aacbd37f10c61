"""What is remembered of a chat's beginning: look at it, correct it, have it made anew."""

from typing import Any

from fastapi import APIRouter, status
from sqlalchemy import Row

from services.api.dependencies import AppResources, CurrentPrincipal
from services.api.fields import BigIntId
from services.api.memory import queries
from services.api.memory.schemas import FactView, MemoryChange, MemoryView
from shared.errors import MemoryTooLarge
from shared.ids import ChatId
from shared.memory.facts import Fact, read_facts, write_facts

router = APIRouter(
    prefix="/api/chats/{chat_id}/memory", tags=["memory"], responses={404: {"description": "chat_not_found"}}
)


@router.get("")
async def get_memory(chat_id: BigIntId, principal: CurrentPrincipal, resources: AppResources) -> MemoryView:
    """The summary and the facts that stand for the chat's older messages."""
    async with resources.database.connect() as db:
        return _view(await queries.find_memory(db, principal.user_id, ChatId(chat_id)))


@router.patch(
    "", responses={409: {"description": "memory_changed"}, 422: {"description": "validation_failed, memory_too_large"}}
)
async def change_memory(
    chat_id: BigIntId, body: MemoryChange, principal: CurrentPrincipal, resources: AppResources
) -> MemoryView:
    """Correct the summary, or correct, add, remove and pin facts."""
    if len(body.summary or "") > resources.settings.summary_max_chars:
        raise MemoryTooLarge("summary", resources.settings.summary_max_chars, "characters")
    if len(body.facts or ()) > resources.settings.facts_max:
        raise MemoryTooLarge("facts", resources.settings.facts_max, "facts")
    values: dict[str, Any] = {}
    if "summary" in body.model_fields_set:
        values["summary"] = body.summary or None
    if "facts" in body.model_fields_set:
        facts = [Fact(fact.text, fact.position, fact.pinned) for fact in body.facts or ()]
        values["facts"] = write_facts(facts)
    async with resources.database.connect() as db:
        changed = await queries.change_memory(db, principal.user_id, ChatId(chat_id), values, body.version)
    resources.jobs.summarize(ChatId(chat_id))  # whoever summarizes at this moment has to begin again
    return _view(changed)


@router.delete("", status_code=status.HTTP_204_NO_CONTENT)
async def restart_memory(chat_id: BigIntId, principal: CurrentPrincipal, resources: AppResources) -> None:
    """Forget the summary and what is not pinned, and make both anew from the messages."""
    async with resources.database.connect() as db:
        await queries.restart_memory(db, principal.user_id, ChatId(chat_id), resources.settings.history_window)
    resources.jobs.summarize(ChatId(chat_id))


def _view(row: Row[Any]) -> MemoryView:
    facts = [FactView(text=fact.text, position=fact.position, pinned=fact.pinned) for fact in read_facts(row.facts)]
    return MemoryView(
        summary=row.summary, facts=facts, watermark=row.watermark, pending=row.pending, version=row.version
    )
