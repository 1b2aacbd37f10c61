"""What a user's chats may tell each other, in the database."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from sqlalchemy import BigInteger, Boolean, ColumnElement, case, delete, func, literal, literal_column, select, update
from sqlalchemy.dialects.postgresql import ARRAY

from services.api.memory.edits import FactEdit, edit
from services.api.memory.queries import BY_USER, insist_on_room, save_facts
from services.api.memory.schemas import SharedMemoryChange
from shared.database.engine import Connection
from shared.database.ownership import NOT_IN_TRASH, owned_by
from shared.database.tables import SHARED_FACTS, Chat, MemoryFact, User
from shared.errors import MemoryTooLarge, TokenInvalid
from shared.ids import ChatId, UserId
from shared.memory import summaries
from shared.memory.changes import add_facts, hold_again
from shared.memory.chat_memory import (
    FACT_COLUMNS,
    MAX_SHARED,
    SHARED_ORDER,
    SharedFact,
    read_fact,
    without_forgotten,
)
from shared.memory.facts import Fact

_SHARED: Final = literal_column(f"({SHARED_FACTS})", Boolean)
_IS_KEPT: Final = (
    MemoryFact.replaced_by.is_(None)
    & MemoryFact.forgotten_at.is_(None)
    & (MemoryFact.is_pinned | (MemoryFact.source == "edited"))
)


class SharedMemory(NamedTuple):
    """Facts that the user's chats may tell each other, at most MAX_SHARED; and whether they do.

    Those that the user wrote for all chats or pinned come first, then the newest.
    """

    enabled: bool
    facts: Sequence[SharedFact]


async def find_shared_memory(db: Connection, user_id: UserId) -> SharedMemory:
    """What the user's chats may tell each other. Temporary chats tell nothing.

    Raises:
        TokenInvalid: the account was deleted after its request was let in.

    """
    enabled = (await db.execute(select(User.shares_memory).where(User.id == user_id))).scalar_one_or_none()
    if enabled is None:
        raise TokenInvalid
    found = (
        select(*FACT_COLUMNS, Chat.title.label("chat_title"))
        .outerjoin(Chat, Chat.id == MemoryFact.chat_id)
        .where(MemoryFact.user_id == user_id, _SHARED, Chat.is_temporary.is_not(True), NOT_IN_TRASH)
        .order_by(*SHARED_ORDER)
        .limit(MAX_SHARED)
    )
    facts = [SharedFact(read_fact(row), row.chat_title) for row in await db.execute(found)]
    return SharedMemory(enabled, await without_forgotten(db, facts))


async def change_shared_memory(
    db: Connection, user_id: UserId, change: SharedMemoryChange, max_facts: int
) -> tuple[SharedMemory, dict[ChatId, bool]]:
    """Change what the user's chats may tell each other. Needs a transaction.

    At most `max_facts` facts may be written for all chats; as many pinned or written in each chat. Returns the memory as it
    is then, and the chats whose memory has changed, each with whether it has to be summarized again.

    Raises:
        TokenInvalid: the account was deleted after its request was let in.
        MemoryItemNotFound: the change names a fact that is not there.
        MemoryTooLarge: there would be too many facts.

    """
    edits = [one.read() for one in change.facts or ()]
    named = [one.id for one in edits if one.id is not None]
    last_positions = await summaries.lock_chats(db, None, named, owned_by(user_id))
    # After the chats, as who accepts a message does. Of two changes at once, the second counts the facts of the first.
    locked = select(User.id).where(User.id == user_id).with_for_update(key_share=True)
    if (await db.execute(locked)).one_or_none() is None:
        raise TokenInvalid
    if change.enabled is not None:
        await db.execute(update(User).where(User.id == user_id).values(shares_memory=change.enabled))
    if edits:
        await _edit_facts(db, user_id, edits, last_positions, max_facts)
    changed = await summaries.changed_by_user(db, list(last_positions))
    return await find_shared_memory(db, user_id), changed


async def _edit_facts(
    db: Connection, user_id: UserId, edits: Sequence[FactEdit], last_positions: dict[ChatId, int], max_facts: int
) -> None:
    own = await _find(db, MemoryFact.user_id == user_id, MemoryFact.chat_id.is_(None), _SHARED)
    named = MemoryFact.id.in_([one.id for one in edits if one.id is not None])
    in_chats = await _find(
        db, MemoryFact.chat_id.in_(list(last_positions)), named | MemoryFact.forgotten_at.is_not(None)
    )
    edited = edit([*own, *in_chats], edits, None)
    insist_on_room(edited.growth(None), len(own), min(max_facts, MAX_SHARED))
    await save_facts(db, user_id, edited, last_positions)
    # A fact of no chat leaves no tombstone: there is no message that says it again.
    gone = (MemoryFact.user_id == user_id) & MemoryFact.chat_id.is_(None) & MemoryFact.id.in_(edited.forgotten)
    await db.execute(delete(MemoryFact).where(gone))
    await add_facts(db, user_id, None, edited.added.values())
    await _insist_on_room_in_chats(db, [one for one in last_positions if edited.growth(one) > 0], max_facts)


async def _find(db: Connection, *which: ColumnElement[bool]) -> list[Fact]:
    rows = await db.execute(select(*FACT_COLUMNS).where(*which))
    return [read_fact(row) for row in rows]


async def _insist_on_room_in_chats(db: Connection, grown: Sequence[ChatId], max_facts: int) -> None:
    """Refuse a chat with more facts than it holds.

    Raises:
        MemoryTooLarge: one of the chats has more.

    """
    kept = select(MemoryFact.chat_id).where(MemoryFact.chat_id.in_(grown), _IS_KEPT).group_by(MemoryFact.chat_id)
    full = kept.having(func.count() > max_facts).limit(1)
    if grown and (await db.execute(full)).first() is not None:
        raise MemoryTooLarge("facts", max_facts, "facts of a chat that are pinned or written by the user")


async def forget_shared_memory(db: Connection, user_id: UserId) -> dict[ChatId, bool]:
    """Forget all facts that the user's chats may tell each other, and delete those of no chat. Needs a transaction.

    Those of chats in the trash too: who restores such a chat does not get the facts back. Returns the other chats whose memory
    has changed, each with whether it has to be summarized again.
    """
    shared = select(MemoryFact.chat_id).where(MemoryFact.user_id == user_id, _SHARED)
    locked = (
        select(Chat.id, NOT_IN_TRASH.label("is_there"))
        .where(Chat.id.in_(shared), Chat.user_id == user_id, ~Chat.is_temporary)
        .order_by(Chat.id)
        .with_for_update()
    )
    is_there = {ChatId(row.id): row.is_there for row in await db.execute(locked)}
    has_no_words = (MemoryFact.value == "") & (MemoryFact.quote == "")
    forgotten = await db.execute(
        update(MemoryFact)
        .where(
            MemoryFact.user_id == user_id,
            _SHARED,
            Chat.id == MemoryFact.chat_id,
            Chat.id == func.any(literal(list(is_there), ARRAY(BigInteger))),
        )
        .values(
            forgotten_at=func.now(),
            forgotten_by=BY_USER,
            forgotten_position=Chat.last_position,
            is_pinned=False,
            changed_at=func.now(),
            value=case((has_no_words, MemoryFact.text), else_=MemoryFact.value),
        )
        .returning(MemoryFact.id)
    )
    await hold_again(db, list(forgotten.scalars()))
    await db.execute(delete(MemoryFact).where(MemoryFact.user_id == user_id, MemoryFact.chat_id.is_(None)))
    changed = await summaries.changed_by_user(db, list(is_there))
    return {chat_id: is_due for chat_id, is_due in changed.items() if is_there[chat_id]}
