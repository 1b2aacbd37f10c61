"""A chat's memory in the database."""

from collections.abc import Iterable
from typing import Final

from sqlalchemy import ColumnElement, func, select, update

from services.api.limits import Limits
from services.api.memory.edits import EditedFacts, edit, is_kept
from services.api.memory.schemas import MemoryChange
from shared.database.engine import Connection
from shared.database.ownership import owned_by
from shared.database.tables import Chat, MemoryFact, MemorySegment
from shared.errors import ChatNotFound, MemoryChanged, MemoryItemNotFound, MemoryTooLarge
from shared.ids import ChatId, UserId
from shared.memory import summaries
from shared.memory.changes import add_facts, forget, replace_segments
from shared.memory.chat_memory import ChatMemory, read_memory
from shared.memory.facts import Fact, Forgetting
from shared.memory.segments import Segment

BY_USER: Final = "user"
"""What `forgotten_by` says of a fact that the user has forgotten, as opposed to a message of the user's."""


def _owned(user_id: UserId, chat_id: ChatId) -> ColumnElement[bool]:
    return (Chat.id == chat_id) & owned_by(user_id)


async def find_memory(db: Connection, user_id: UserId, chat_id: ChatId) -> ChatMemory:
    """The memory of a chat.

    Raises:
        ChatNotFound: absent, or another user's.

    """
    owned = (await db.execute(select(Chat.id).where(_owned(user_id, chat_id)))).one_or_none()
    memory = await read_memory(db, chat_id) if owned else None
    if memory is None:
        raise ChatNotFound
    return memory


async def change_memory(
    db: Connection, user_id: UserId, chat_id: ChatId, change: MemoryChange, limits: Limits
) -> ChatMemory:
    """Correct a chat's memory, and return what it is then. Needs a transaction.

    The new version refuses a summary that is being made, which is then made again.

    Raises:
        ChatNotFound: absent, or another user's.
        MemoryChanged: the memory has another version than the change names.
        MemoryItemNotFound: the change names a segment, a fact or a position that is not there.
        MemoryTooLarge: the memory would have more than the limits allow.

    """
    locked = select(Chat.memory_version).where(_owned(user_id, chat_id)).with_for_update()
    version = (await db.execute(locked)).scalar_one_or_none()
    if version is None:
        raise ChatNotFound
    if change.version is not None and change.version != version:
        raise MemoryChanged
    memory = await find_memory(db, user_id, chat_id)
    segments = memory.segments
    if "summary" in change.model_fields_set:
        segments = await _replace_summary(db, chat_id, memory, change.summary or "")
    if change.segments:
        texts = _corrected_texts(segments, [(one.id, one.text) for one in change.segments], limits.summary_chars)
        await _correct_segments(db, chat_id, texts)
    if change.facts:
        edited = edit(memory.facts, [one.read() for one in change.facts], chat_id, memory.last_position)
        insist_on_room(edited.growth(chat_id), sum(map(is_kept, memory.facts)), limits.facts)
        await save_facts(db, user_id, edited, {chat_id: memory.last_position})
        await add_facts(db, user_id, chat_id, edited.added.values())
    await summaries.changed_by_user(db, [chat_id])
    return await find_memory(db, user_id, chat_id)


async def _replace_summary(db: Connection, chat_id: ChatId, memory: ChatMemory, text: str) -> tuple[Segment, ...]:
    """Have one segment say this text. Segments cover all positions up to the watermark, so an empty one may stay."""
    whole = Segment(min(1, memory.watermark), memory.watermark, text, "edited")
    segments = (whole,) if text or memory.watermark else ()
    await replace_segments(db, chat_id, segments)
    return segments


def _corrected_texts(segments: Iterable[Segment], changes: Iterable[tuple[int, str]], limit: int) -> dict[int, str]:
    """The new texts of segments, by id.

    Raises:
        MemoryItemNotFound: there is no such segment.
        MemoryTooLarge: all segments together would have more characters, and more than they have.

    """
    before = {segment.id: segment.text for segment in segments if segment.id}
    texts = dict[int, str]()
    for number, (segment_id, text) in enumerate(changes):
        if segment_id not in before:
            raise MemoryItemNotFound(f"segments.{number}.id")
        texts[segment_id] = text
    if _size(before | texts) > max(limit, _size(before)):
        raise MemoryTooLarge("segments", limit, "characters")
    return texts


def _size(texts: dict[int, str]) -> int:
    return sum(map(len, texts.values()))


async def _correct_segments(db: Connection, chat_id: ChatId, texts: dict[int, str]) -> None:
    for segment_id, text in texts.items():
        ours = (MemorySegment.id == segment_id) & (MemorySegment.chat_id == chat_id)
        await db.execute(update(MemorySegment).where(ours).values(text=text, kind="edited"))


def insist_on_room(growth: int, before: int, limit: int) -> None:
    """Refuse more facts that are pinned or written by the user than a memory holds. A memory that has more may shrink.

    Raises:
        MemoryTooLarge: there would be more.

    """
    if growth > 0 and before + growth > limit:
        raise MemoryTooLarge("facts", limit, "facts that are pinned or written by the user")


async def save_facts(db: Connection, user_id: UserId, edited: EditedFacts, last_positions: dict[ChatId, int]) -> None:
    """Save what has become of saved facts. Needs a transaction that has locked their chats.

    `last_positions` are those of the facts' chats.
    """
    for fact_id, columns in edited.corrections.items():
        ours = (MemoryFact.id == fact_id) & (MemoryFact.user_id == user_id)
        await db.execute(update(MemoryFact).where(ours).values({**columns, "changed_at": func.now()}))
    for chat_id, fact_ids in _by_chat(edited).items():
        await forget(db, user_id, chat_id, [Forgetting(last_positions[chat_id], fact_ids)], by=BY_USER)
    for fact_id, replaced_by in edited.said_anew.items():
        ours = (MemoryFact.id == fact_id) & (MemoryFact.user_id == user_id)
        await db.execute(update(MemoryFact).where(ours).values(replaced_by=replaced_by, changed_at=func.now()))


def _by_chat(edited: EditedFacts) -> dict[ChatId, tuple[int, ...]]:
    """The forgotten facts of each chat. Those of no chat are not among them."""
    by_chat = dict[ChatId, tuple[int, ...]]()
    forgotten: list[Fact] = [edited.after[fact_id] for fact_id in edited.forgotten]
    for fact in forgotten:
        if fact.chat_id is not None:
            by_chat[fact.chat_id] = (*by_chat.get(fact.chat_id, ()), fact.id)
    return by_chat


async def make_memory_anew(db: Connection, user_id: UserId, chat_id: ChatId, kept: int) -> None:
    """Forget a chat's memory and have it made again from the messages. Needs a transaction.

    Facts that are pinned, written by the user or forgotten stay. `kept` messages past the watermark are not summarized.

    Raises:
        ChatNotFound: absent, or another user's.

    """
    if await summaries.make_anew(db, chat_id, 0, kept, owned_by(user_id)) is None:
        raise ChatNotFound
